#pragma once
#include <compare>
#include <cstdint>
#include <limits>
#include <optional>

namespace stillpoint {

/// An integer that cannot be mixed with another quantity or a bare number.
template <class Tag>
class Quantity {
public:
    constexpr Quantity() = default;
    constexpr explicit Quantity(std::uint64_t value) : value_(value) {}
    [[nodiscard]] constexpr std::uint64_t raw() const { return value_; }
    friend constexpr auto operator<=>(Quantity, Quantity) = default;

private:
    std::uint64_t value_ = 0;
};

using ByteOffset = Quantity<struct ByteOffsetTag>;  // position from the start of a disk or object
using ByteCount = Quantity<struct ByteCountTag>;    // a length
using BlockIndex = Quantity<struct BlockIndexTag>;  // number of a chunk-sized block on a disk

constexpr ByteCount operator+(ByteCount a, ByteCount b) {
    return ByteCount{a.raw() + b.raw()};
}
constexpr ByteCount& operator+=(ByteCount& a, ByteCount b) {
    return a = a + b;
}

/// A part of a disk: [at, at+length).
struct Extent {
    ByteOffset at;
    ByteCount length;
    friend constexpr bool operator==(const Extent&, const Extent&) = default;
};

/// @return end of the extent; nullopt when it does not fit 64 bits.
[[nodiscard]] constexpr std::optional<ByteOffset> end_of(const Extent& extent) {
    if (extent.length.raw() > std::numeric_limits<std::uint64_t>::max() - extent.at.raw()) {
        return std::nullopt;
    }
    return ByteOffset{extent.at.raw() + extent.length.raw()};
}

template <class A, class B>
concept Addable = requires(A a, B b) {
    a + b;
};
static_assert(!Addable<ByteOffset, ByteOffset> && !Addable<ByteOffset, int>);

}  // namespace stillpoint
