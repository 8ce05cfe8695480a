#pragma once
#include <functional>
#include <string>
#include <vector>

#include "abi/config.hpp"

/// What host.xml may say: one row for each attribute.
namespace stillpoint::abi {

struct ConfigKey {
    const char* element;
    const char* attribute;
    const char* accepted;  // for people
    /// Reads a value into its place. @errors invalid: it is not what `accepted` says
    std::function<Status(HostConfig&, const std::string&)> set;
};

/// @threads any
[[nodiscard]] const std::vector<ConfigKey>& known_keys();

}  // namespace stillpoint::abi
