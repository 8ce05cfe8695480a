#include "guest/clean_text.hpp"

#include <cstdint>
#include <type_traits>

namespace stillpoint::guest {
namespace {

bool is_continuation(char c) {
    return (static_cast<std::uint8_t>(c) & 0xc0) == 0x80;
}

/// Walks the members that each struct declares in `fields`.
class Cleaner {
public:
    template <class T>
    void operator()(const char* name, T& item) {
        if constexpr (std::is_same_v<T, std::string>) {
            item = clean_text(std::move(item));
        } else if constexpr (serialization::detail::IsVector<T>::value) {
            clean_list(name, item);
        } else if constexpr (serialization::detail::IsOptional<T>::value) {
            if (item) (*this)(name, *item);
        } else if constexpr (std::is_class_v<T>) {
            T::fields(*this, item);
        }
    }
    Status status;

private:
    template <class T>
    void clean_list(const char* name, std::vector<T>& items) {
        if (items.size() > guest_list_items_max) {
            status = fail(Errc::corrupt, "guest.protocol",
                          "the guest sent " + std::to_string(items.size()) + " " + name +
                              ", more than " + std::to_string(guest_list_items_max));
            return;
        }
        for (T& item : items) (*this)(name, item);
    }
};

}  // namespace

std::string clean_text(std::string text) {
    if (text.size() > guest_text_bytes_max) {
        std::size_t end = guest_text_bytes_max;
        while (end > 0 && is_continuation(text[end])) --end;
        text.resize(end);
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<std::uint8_t>(text[i]);
        const bool c1 = byte == 0xc2 && i + 1 < text.size() &&
                        static_cast<std::uint8_t>(text[i + 1]) < 0xa0;  // U+0080..U+009F
        if (c1) text.erase(i + 1, 1);
        if (byte < 0x20 || byte == 0x7f || c1) text[i] = '?';
    }
    return text;
}

Status clean_message(serialization::Message& message) {
    Cleaner cleaner;
    std::visit([&]<class T>(T& item) { T::fields(cleaner, item); }, message);
    return cleaner.status;
}

}  // namespace stillpoint::guest
