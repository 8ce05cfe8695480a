#pragma once
#include <string>

#include "serialization/messages.hpp"

namespace stillpoint::guest {

inline constexpr std::size_t guest_text_bytes_max = 1024;  // a mount point or a note; longer is cut
inline constexpr std::size_t guest_list_items_max = 4096;  // volumes, hooks or writers of one guest

/// Makes what a guest wrote fit for a report and a terminal: control characters become '?', long
/// texts are cut at a character.
[[nodiscard]] std::string clean_text(std::string text);

/// Cleans every text of a message in place.
/// @errors corrupt, id "guest.protocol": a list is longer than any guest's could be
[[nodiscard]] Status clean_message(serialization::Message& message);

}  // namespace stillpoint::guest
