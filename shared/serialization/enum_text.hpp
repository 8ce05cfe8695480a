#pragma once
#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace stillpoint::serialization {

/// One name per enumerator; the table is the single place where both directions come from.
template <class E, std::size_t N>
using EnumTable = std::array<std::pair<E, std::string_view>, N>;

template <class E, std::size_t N>
[[nodiscard]] constexpr std::string_view name_in(const EnumTable<E, N>& table, E value) {
    for (const auto& [key, name] : table) {
        if (key == value) return name;
    }
    return "unknown";
}

template <class E, std::size_t N>
[[nodiscard]] constexpr std::optional<E> parse_in(const EnumTable<E, N>& table,
                                                  std::string_view text) {
    for (const auto& [key, name] : table) {
        if (name == text) return key;
    }
    return std::nullopt;
}

}  // namespace stillpoint::serialization

/// Defines name_of and parse_enum for E from a table; use in E's own namespace.
#define SP_ENUM_TEXT(E, table)                                                             \
    [[nodiscard]] constexpr std::string_view name_of(E value) {                            \
        return ::stillpoint::serialization::name_in(table, value);                         \
    }                                                                                      \
    [[nodiscard]] constexpr std::optional<E> parse_enum(std::string_view text, const E*) { \
        return ::stillpoint::serialization::parse_in(table, text);                         \
    }
