#include <algorithm>

#include "qnative/config.h"
#include "values.h"

namespace qnative {

BackendConfig& BackendConfig::set_name(std::string name) {
  name_ = std::move(name);
  return *this;
}

BackendConfig& BackendConfig::set_backend_pattern_config(
    c10::intrusive_ptr<BackendPatternConfig> config) {
  TORCH_CHECK(config, "qnative: set_backend_pattern_config: the BackendPatternConfig is null");
  Pattern key = config->pattern_key();
  return set_entry(std::move(key), std::move(config));
}

BackendConfig& BackendConfig::set_backend_pattern_configs(
    const std::vector<c10::intrusive_ptr<BackendPatternConfig>>& configs) {
  for (size_t i = 0; i < configs.size(); ++i) {
    values::within("configs", i, [&] { set_backend_pattern_config(configs[i]); });
  }
  return *this;
}

BackendConfig& BackendConfig::set_entry(Pattern key,
                                        c10::intrusive_ptr<BackendPatternConfig> config) {
  TORCH_CHECK(config, "qnative: set_entry: the BackendPatternConfig is null");
  const auto [place, is_new] = positions_.try_emplace(key, entries_.size());
  if (is_new) {
    entries_.emplace_back(std::move(key), std::move(config));
  } else {
    entries_[place->second].second = std::move(config);
  }
  return *this;
}

std::vector<c10::intrusive_ptr<BackendPatternConfig>> BackendConfig::configs() const {
  std::vector<c10::intrusive_ptr<BackendPatternConfig>> configs;
  configs.reserve(entries_.size());
  for (const auto& [key, config] : entries_) configs.push_back(config);
  return configs;
}

c10::intrusive_ptr<BackendPatternConfig> BackendConfig::find(const Pattern& key) const {
  const auto found = positions_.find(key);
  return found == positions_.end() ? c10::intrusive_ptr<BackendPatternConfig>()
                                   : entries_[found->second].second;
}

bool BackendConfig::erase(const Pattern& key) {
  const auto found = positions_.find(key);
  if (found == positions_.end()) return false;
  const size_t position = found->second;
  positions_.erase(found);
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(position));
  for (auto& [other, place] : positions_) place -= place > position ? 1 : 0;
  return true;
}

bool BackendConfig::operator==(const BackendConfig& other) const {
  return name_ == other.name_ &&
         std::equal(entries_.begin(), entries_.end(), other.entries_.begin(), other.entries_.end(),
                    [](const Entry& a, const Entry& b) {
                      return a.first == b.first && *a.second == *b.second;
                    });
}

}  // namespace qnative
