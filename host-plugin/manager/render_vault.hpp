#pragma once
#include <ostream>

#include "serialization/unreadable.hpp"
#include "serialization/value.hpp"

/// Answers about a vault as a whole, for people.
namespace stillpoint::manager {

/// Points that are damaged, and what can be done; nothing where there are none.
void render_unreadable(std::ostream& out,
                       const std::vector<serialization::UnreadablePoint>& points);
void render_check(std::ostream& out, const serialization::Value& document);
void render_stats(std::ostream& out, const serialization::Value& document);
void render_vault(std::ostream& out, const serialization::Value& document);
void render_prune(std::ostream& out, const serialization::Value& document);
void render_gc(std::ostream& out, const serialization::Value& document);
void render_keys(std::ostream& out, const serialization::Value& document);
void render_repair(std::ostream& out, const serialization::Value& document);

}  // namespace stillpoint::manager
