#pragma once
#include <vector>

#include "serialization/messages.hpp"

namespace stillpoint::test {

/// One message of each kind, in the order of the variant, every member set to something other than
/// its default. Golden files are made from them: never change one, add a newer one beside it.
[[nodiscard]] std::vector<serialization::Message> sample_messages();

}  // namespace stillpoint::test
