// Serves an image classifier, saved by qnative.save, over HTTP in batches. All workers share one
// program:
//
//   server model.pt2 [port] [workers]
//
//   POST /classify   body: 224 * 224 * 3 bytes, [height, width, RGB] -> {"class": 504,
//   "logit": 9.3} GET  /health     200 as soon as it serves
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <httplib.h>
#include <qnative/program.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "batcher.h"

namespace serving {
namespace {

constexpr int64_t kSize = 224, kImageBytes = kSize * kSize * 3;
// The network was trained with (x - 127) / 128 for x in 0..255.
constexpr double kMean = 127, kStd = 128;

struct Answer {
  int64_t best;
  float logit;
};
using Images = std::vector<std::string>;

at::Tensor network_input(const Images& images) {
  std::vector<at::Tensor> pixels;
  for (const std::string& image : images) {
    pixels.push_back(at::from_blob(const_cast<char*>(image.data()), {kSize, kSize, 3}, at::kByte));
  }
  return at::stack(pixels).to(at::kFloat).sub_(kMean).div_(kStd).permute({0, 3, 1, 2});
}

std::vector<Answer> classify(const qnative::Program& program, const Images& images) {
  const c10::InferenceMode inference;
  const auto [logits, classes] = program.run({network_input(images)}).at(0).max(1);
  std::vector<Answer> answers;
  for (int64_t i = 0; i < logits.size(0); ++i) {
    answers.push_back({classes[i].item<int64_t>(), logits[i].item<float>()});
  }
  return answers;
}

void reply(httplib::Response& response, int status, const std::string& text, const char* type) {
  response.status = status;
  response.set_content(text, type);
}

void serve(const std::string& model, int port, int workers) {
  at::set_num_threads(1);  // the workers use the cores
  const auto program = qnative::Program::load(model);
  const auto run = [&](const Images& images) { return classify(program, images); };
  Batcher<std::string, Answer> batcher(run, {.workers = workers});
  httplib::Server server;
  server.set_tcp_nodelay(true);
  server.set_keep_alive_max_count(1'000'000);
  server.Get("/health", [](const httplib::Request&, httplib::Response& response) {
    reply(response, 200, "ok\n", "text/plain");
  });
  server.Post("/classify", [&](const httplib::Request& request, httplib::Response& response) {
    if (request.body.size() != kImageBytes) {
      const std::string wanted = std::to_string(kImageBytes);
      return reply(response, 400,
                   "the body must be " + wanted + " bytes, got " +
                       std::to_string(request.body.size()) + "\n",
                   "text/plain");
    }
    try {
      const Answer answer = batcher.submit(request.body).get();
      char text[64];
      std::snprintf(text, sizeof text, R"({"class": %lld, "logit": %.9g})",
                    static_cast<long long>(answer.best), answer.logit);
      reply(response, 200, text, "application/json");
    } catch (const c10::Error& error) {
      reply(response, 500, std::string(error.what_without_backtrace()) + "\n", "text/plain");
    } catch (const std::exception& error) {
      reply(response, 500, std::string(error.what()) + "\n", "text/plain");
    }
  });
  std::printf("http://127.0.0.1:%d\n", port);
  std::fflush(stdout);
  TORCH_CHECK(server.listen("127.0.0.1", port), "port ", port, " cannot be opened");
}

}  // namespace
}  // namespace serving

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::fprintf(stderr, "usage: server model.pt2 [port] [workers]\n");
    return 2;
  }
  const int port = argc > 2 ? std::atoi(argv[2]) : 8000;
  const int workers = argc > 3 ? std::atoi(argv[3]) : int(std::thread::hardware_concurrency());
  if (port < 1 || port > 65535 || workers < 1) {
    std::fprintf(stderr, "server: port must be in [1, 65535] and workers positive\n");
    return 2;
  }
  try {
    serving::serve(argv[1], port, workers);
  } catch (const c10::Error& error) {
    std::fprintf(stderr, "server: %s\n", error.what_without_backtrace());
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "server: %s\n", error.what());
    return 1;
  }
}
