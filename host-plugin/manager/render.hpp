#pragma once
#include <ostream>
#include <string>

#include "serialization/value.hpp"

namespace stillpoint::manager {

/// Prints a job's result document for people.
/// @param kind the request's kind, e.g. "backup"
void render_result(std::ostream& out, const std::string& kind,
                   const serialization::Value& document);
/// Prints {"error": …} for people: what happened, to which object, what to do next.
void render_error(std::ostream& out, const serialization::Value& document);

}  // namespace stillpoint::manager
