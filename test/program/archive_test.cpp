#include "archive.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "archives.h"
#include "crc32.h"
#include "qnative/program.h"

namespace qnative::program {
namespace {

using testing::linear_archive;
using testing::pack;
using testing::quantized_archive;
using testing::Records;

// The message of the c10::Error that `action` throws; empty if it throws none.
template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "";
}

Records records() {
  at::manual_seed(0);
  return linear_archive(at::randn({2, 3}), at::randn({2}));
}

qnative::Program load(const std::string& bytes) {
  return qnative::Program::load(bytes.data(), bytes.size());
}

TEST(Crc32, KnownValues) {
  EXPECT_EQ(crc32("", 0), 0U);
  EXPECT_EQ(crc32("123456789", 9), 0xCBF43926U);
  const std::string text = "The quick brown fox jumps over the lazy dog";
  EXPECT_EQ(crc32(text.data(), text.size()), 0x414FA339U);
}

TEST(Crc32, AnyLengthAndAlignment) {
  std::mt19937 generator(::testing::UnitTest::GetInstance()->random_seed());
  std::string bytes(200, ' ');
  for (char& byte : bytes) byte = static_cast<char>(generator());
  for (size_t start = 0; start < 20; ++start) {
    for (size_t size = 0; size < 100; ++size) {
      uint32_t crc = ~0U;  // bit by bit
      for (size_t i = start; i < start + size; ++i) {
        crc ^= static_cast<uint8_t>(bytes[i]);
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320U : 0);
      }
      ASSERT_EQ(crc32(bytes.data() + start, size), ~crc) << start << " " << size;
    }
  }
}

class ProgramFile : public ::testing::Test {
 protected:
  std::string path_ = (std::filesystem::temp_directory_path() /
                       ("qnative_program_test_" + std::to_string(getpid()) + ".pt2"))
                          .string();

  void write(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  void TearDown() override { std::filesystem::remove(path_); }
};

TEST_F(ProgramFile, Runs) {
  at::manual_seed(1);
  const at::Tensor weight = at::randn({2, 3}), bias = at::randn({2});
  write(pack(linear_archive(weight, bias)));
  const auto program = qnative::Program::load(path_);
  std::filesystem::remove(path_);  // what is mapped stays
  for (const int64_t n : {0, 1, 4, 8}) {
    const at::Tensor x = at::randn({n, 3});
    const at::Tensor expected = at::relu(at::linear(x, weight, bias)) + n;
    EXPECT_TRUE(at::equal(program.run({x})[0], expected));
    EXPECT_TRUE(at::equal(program.forward({x}).toTensor(), expected));
    EXPECT_TRUE(at::equal(program.forward({}, {{"x", x}}).toTensor(), expected));
  }
}

TEST_F(ProgramFile, WeightsLieInTheFile) {
  write(pack(records()));
  const Memory memory = Memory::map(path_);
  Archive archive(memory);
  const json::Value config = archive.parse("data/weights/model_weights_config.json");
  const auto& member = *std::get<json::Object>(config.data).find("config");
  const auto& weight = *std::get<json::Object>(member.data).find("weight");
  const at::Tensor tensor = archive.tensor("data/weights/", weight);
  const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
  EXPECT_GE(data, memory.data.get());
  EXPECT_LT(data, memory.data.get() + memory.size);
  EXPECT_TRUE(archive.tensor("data/weights/", weight).storage().is_alias_of(tensor.storage()));
  // Writes stay in the process.
  at::Tensor(tensor).fill_(7);
  EXPECT_EQ(tensor[0][0].item<float>(), 7);
  Archive again(Memory::map(path_));
  EXPECT_NE(again.tensor("data/weights/", weight)[0][0].item<float>(), 7);
}

TEST(Program, RefusesInputs) {
  const auto program = load(pack(records()));
  const auto error = [&](const at::Tensor& x) { return error_of([&] { program.run({x}); }); };
  EXPECT_EQ(error(at::ones({4, 2})),
            "qnative::Program: input 'x': wanted Float [s0, 3] on cpu, got Float [4, 2] on cpu");
  EXPECT_EQ(error(at::ones({9, 3})),
            "qnative::Program: size 0 of input 'x' is 9, wanted at most 8");
  EXPECT_EQ(error(at::ones({5, 3})),
            "qnative::Program: the program was exported for inputs with L['x'].size()[0] != 5");
  EXPECT_EQ(error(at::Tensor()),
            "qnative::Program: input 'x': wanted Float [s0, 3] on cpu, got an undefined tensor");
  EXPECT_EQ(error_of([&] { program.run({}); }), "qnative::Program: wanted 1 tensors, got 0");
  EXPECT_EQ(error_of([&] { program.forward({}); }), "qnative::Program: argument 'x' is missing");
  EXPECT_EQ(error_of([&] { program.forward({at::ones({4, 3})}, {{"y", 1}}); }),
            "qnative::Program: has no argument 'y'; its arguments are x");
}

// Twice: the second run has planned memory.
at::Tensor run_twice(const qnative::Program& program, const at::Tensor& x) {
  program.run({x});
  return program.run({x}).at(0);
}

// Bits of the archive of a small program, and lengths of it.
void damage(const Records& contents, const at::Tensor& x) {
  const std::string bytes = pack(contents);
  const at::Tensor expected = run_twice(load(bytes), x);
  std::mt19937 generator(::testing::UnitTest::GetInstance()->random_seed());
  int refused = 0;
  const auto check = [&](const std::string& damaged, const std::string& what) {
    at::Tensor y;
    const std::string error = error_of([&] { y = run_twice(load(damaged), x); });
    refused += error.empty() ? 0 : 1;
    EXPECT_TRUE(!error.empty() || at::equal(y, expected)) << what;
  };
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = bytes;
    const size_t place = generator() % bytes.size();
    damaged[place] = static_cast<char>(damaged[place] ^ 1 << generator() % 8);
    check(damaged, "bit of byte " + std::to_string(place));
  }
  EXPECT_GT(refused, 1000);
  for (int i = 0; i < 300; ++i) {
    const size_t length = generator() % bytes.size();
    check(bytes.substr(0, length), "length " + std::to_string(length));
  }
}

TEST(Program, DamagedArchives) { damage(records(), at::randn({4, 3})); }

TEST(Program, DamagedArchivesOfQuantizedModels) {
  at::manual_seed(0);
  damage(quantized_archive(), at::randn({4, 1, 3}));
}

// Texts with right checksums and wrong contents.
void change_texts(const Records& right, const at::Tensor& x) {
  std::mt19937 generator(::testing::UnitTest::GetInstance()->random_seed());
  const std::vector<std::string> pieces = {"null",  "-1",    "0",  "9223372036854775807",
                                           "\"x\"", "[]",    "{}", "{\"as_int\": 1}",
                                           "true",  "1e308", "",   "}"};
  for (const std::string record : {"models/model.json", "data/weights/model_weights_config.json"}) {
    const std::string& text = right.at(record);
    for (int i = 0; i < 1000; ++i) {
      const size_t start = generator() % text.size();
      const std::string& piece = pieces[generator() % pieces.size()];
      Records wrong = right;
      wrong[record] = text.substr(0, start) + piece +
                      text.substr(std::min(text.size(), start + generator() % 40));
      error_of([&] { run_twice(load(pack(wrong)), x); });
    }
  }
}

TEST(Program, WrongTexts) { change_texts(records(), at::ones({4, 3})); }

TEST(Program, WrongTextsOfQuantizedModels) {
  at::manual_seed(0);
  change_texts(quantized_archive(), at::ones({4, 1, 3}));
}

}  // namespace
}  // namespace qnative::program
