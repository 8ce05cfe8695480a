#pragma once
#include <rapidcheck.h>

#include <type_traits>

#include "serialization/messages.hpp"

/// Random messages: each member that a struct declares in `fields` is drawn.
namespace stillpoint::test {

namespace detail {

template <class E>
constexpr const auto& names_of() {
    if constexpr (std::is_same_v<E, serialization::Level>) return serialization::level_names;
    if constexpr (std::is_same_v<E, serialization::BackupType>) {
        return serialization::backup_type_names;
    }
    if constexpr (std::is_same_v<E, serialization::EvidenceKind>) {
        return serialization::evidence_kind_names;
    }
}

inline std::string random_text() {
    // Characters of every UTF-8 length, and those that JSON and terminals treat specially.
    static const std::vector<std::string> characters{
        "a", "Z", "/", "\"", "\\", "\n", std::string(1, '\0'), "\x7f", "é", "€", "😀", "SPF1"};
    const auto pieces =
        *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(characters));
    std::string out;
    for (const std::string& piece : pieces) out += piece;
    return out;
}

}  // namespace detail

class Drawer {
public:
    template <class T>
    void operator()(const char*, T& item) {
        draw(item);
    }
    template <class T>
    void draw(T& item) {
        if constexpr (std::is_same_v<T, std::string>) {
            item = detail::random_text();
        } else if constexpr (std::is_enum_v<T>) {
            const auto& names = detail::names_of<T>();
            item = names[*rc::gen::inRange<std::size_t>(0, names.size())].first;
        } else if constexpr (std::is_arithmetic_v<T>) {
            item = *rc::gen::arbitrary<T>();
        } else if constexpr (serialization::detail::IsVector<T>::value) {
            item.resize(*rc::gen::inRange<std::size_t>(0, 4));
            for (auto& element : item) draw(element);
        } else {
            T::fields(*this, item);
        }
    }
};

template <std::size_t... I>
serialization::Message random_message(std::size_t kind, std::index_sequence<I...>) {
    serialization::Message message;
    const auto make = [&]<std::size_t K>() {
        if (K != kind) return;
        std::variant_alternative_t<K, serialization::Message> item;
        Drawer{}.draw(item);
        message = std::move(item);
    };
    (make.template operator()<I>(), ...);
    return message;
}

/// One of the known kinds; call inside rc::check.
inline serialization::Message random_message() {
    constexpr std::size_t kinds = std::variant_size_v<serialization::Message>;
    const auto kind = *rc::gen::inRange<std::size_t>(1, kinds);
    return random_message(kind, std::make_index_sequence<kinds>{});
}

}  // namespace stillpoint::test
