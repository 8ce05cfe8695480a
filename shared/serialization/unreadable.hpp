#pragma once
#include <string>

#include "serialization/fields.hpp"

namespace stillpoint::serialization {

/// A recovery point that is there, and damaged: of which VM it is, only its content would tell.
struct UnreadablePoint {
    std::string point;  // its id
    std::string text;   // what is wrong with it
    template <class V, class S>
    static void fields(V& v, S& s) {
        v("point", s.point);
        v("text", s.text);
    }
};

}  // namespace stillpoint::serialization
