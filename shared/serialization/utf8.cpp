#include "serialization/utf8.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace stillpoint::serialization {
namespace {

/// A row of table 3-7: which first bytes, which second byte, how many bytes in all.
struct Row {
    std::uint8_t first_min, first_max, second_min, second_max;
    std::size_t length;
};
constexpr std::array rows{Row{0xc2, 0xdf, 0x80, 0xbf, 2}, Row{0xe0, 0xe0, 0xa0, 0xbf, 3},
                          Row{0xe1, 0xec, 0x80, 0xbf, 3}, Row{0xed, 0xed, 0x80, 0x9f, 3},
                          Row{0xee, 0xef, 0x80, 0xbf, 3}, Row{0xf0, 0xf0, 0x90, 0xbf, 4},
                          Row{0xf1, 0xf3, 0x80, 0xbf, 4}, Row{0xf4, 0xf4, 0x80, 0x8f, 4}};

std::uint8_t byte_at(std::string_view text, std::size_t i) {
    return static_cast<std::uint8_t>(text[i]);
}

bool matches(const Row& row, std::string_view text) {
    const auto first = byte_at(text, 0);
    if (first < row.first_min || first > row.first_max || text.size() < row.length) return false;
    if (byte_at(text, 1) < row.second_min || byte_at(text, 1) > row.second_max) return false;
    for (std::size_t i = 2; i < row.length; ++i) {
        if ((byte_at(text, i) & 0xc0) != 0x80) return false;
    }
    return true;
}

/// @return the length of the well-formed sequence at the start of non-empty text; 0: there is none
std::size_t sequence_length(std::string_view text) {
    if (byte_at(text, 0) < 0x80) return 1;
    for (const Row& row : rows) {
        if (matches(row, text)) return row.length;
    }
    return 0;
}

}  // namespace

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = sequence_length(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

std::string to_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = sequence_length(text);
        out += length == 0 ? std::string_view{"\xef\xbf\xbd"} : text.substr(0, length);
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return out;
}

}  // namespace stillpoint::serialization
