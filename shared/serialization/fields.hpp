#pragma once
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "serialization/value.hpp"

/// Typed structs <-> documents, each struct declared once:
///
///     struct Extent { std::uint64_t offset = 0; std::string name;
///         template <class V, class S> static void fields(V& v, S& s) {
///             v("offset", s.offset); v("name", s.name); } };
///
/// An empty optional is written as null and read back as empty. Reading: an absent member keeps the
/// struct's default (a peer one version older works), a member of the wrong kind is an error,
/// unknown members are skipped. Enums are text: they provide `std::string_view name_of(E)` and
/// `std::optional<E> parse_enum(std::string_view, E*)` beside them.
namespace stillpoint::serialization {

template <class T>
[[nodiscard]] Value to_value(const T& item);
template <class T>
[[nodiscard]] Status read_value(const Value& value, T& item, const std::string& where);

namespace detail {

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

inline tl::unexpected<Error> wrong(const std::string& where, const char* wanted) {
    return fail(Errc::corrupt, "document.field", where + ": expected " + wanted);
}

class FieldWriter {
public:
    explicit FieldWriter(Map& out) : out_(out) {}
    template <class T>
    void operator()(const char* name, const T& item) {
        if constexpr (IsOptional<T>::value) {
            out_[name] = item ? to_value(*item) : Value{};
        } else {
            out_[name] = to_value(item);
        }
    }

private:
    Map& out_;
};

class FieldReader {
public:
    FieldReader(const Value& in, std::string where) : in_(in), where_(std::move(where)) {}
    template <class T>
    void operator()(const char* name, T& item) {
        if (!status) return;
        const Value* member = in_.find(name);
        if (member == nullptr) return;
        if constexpr (IsOptional<T>::value) {
            if (member->is_null()) return;
            item.emplace();
            status = read_value(*member, *item, where_ + "." + name);
        } else {
            status = read_value(*member, item, where_ + "." + name);
        }
    }
    Status status;

private:
    const Value& in_;
    std::string where_;
};

template <class T>
Status read_integer(const Value& value, T& item, const std::string& where) {
    if (value.integer() == nullptr || !std::in_range<T>(*value.integer())) {
        return wrong(where, "an integer in range");
    }
    item = static_cast<T>(*value.integer());
    return {};
}

template <class T>
Status read_vector(const Value& value, std::vector<T>& items, const std::string& where) {
    if (value.array() == nullptr) return wrong(where, "a list");
    items.clear();
    for (const Value& element : *value.array()) {
        T item{};
        SP_TRY(read_value(element, item, where + "[" + std::to_string(items.size()) + "]"));
        items.push_back(std::move(item));
    }
    return {};
}

}  // namespace detail

template <class T>
Value to_value(const T& item) {
    if constexpr (std::same_as<T, Value>) {
        return item;
    } else if constexpr (std::same_as<T, bool> || std::same_as<T, std::string> ||
                         std::same_as<T, double>) {
        return Value{item};
    } else if constexpr (std::is_enum_v<T>) {
        return Value{name_of(item)};
    } else if constexpr (std::unsigned_integral<T>) {
        return Value{std::uint64_t{item}};
    } else if constexpr (std::integral<T>) {
        return Value{std::int64_t{item}};
    } else if constexpr (detail::IsVector<T>::value) {
        Array out;
        for (const auto& element : item) out.push_back(to_value(element));
        return out;
    } else {
        Map out;
        detail::FieldWriter writer{out};
        T::fields(writer, item);
        return out;
    }
}

template <class T>
Status read_value(const Value& value, T& item, const std::string& where) {
    if constexpr (std::same_as<T, Value>) {
        item = value;
    } else if constexpr (std::same_as<T, bool>) {
        if (value.boolean() == nullptr) return detail::wrong(where, "true or false");
        item = *value.boolean();
    } else if constexpr (std::same_as<T, std::string>) {
        if (value.text() == nullptr) return detail::wrong(where, "text");
        item = *value.text();
    } else if constexpr (std::same_as<T, double>) {
        if (value.real() == nullptr && value.integer() == nullptr) {
            return detail::wrong(where, "a number");
        }
        item = value.real() != nullptr ? *value.real() : static_cast<double>(*value.integer());
    } else if constexpr (std::is_enum_v<T>) {
        const auto parsed = value.text() == nullptr
                                ? std::nullopt
                                : parse_enum(*value.text(), static_cast<T*>(nullptr));
        if (!parsed) return detail::wrong(where, "one of the known names");
        item = *parsed;
    } else if constexpr (std::integral<T>) {
        return detail::read_integer(value, item, where);
    } else if constexpr (detail::IsVector<T>::value) {
        return detail::read_vector(value, item, where);
    } else {
        if (value.map() == nullptr) return detail::wrong(where, "an object");
        detail::FieldReader reader{value, where};
        T::fields(reader, item);
        return reader.status;
    }
    return {};
}

/// @errors corrupt: a member of the wrong kind, named with its path
template <class T>
[[nodiscard]] Result<T> from_value(const Value& value, const std::string& where) {
    T item{};
    SP_TRY(read_value(value, item, where));
    return item;
}

}  // namespace stillpoint::serialization
