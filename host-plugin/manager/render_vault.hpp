#pragma once
#include <ostream>

#include "serialization/value.hpp"

/// Answers about a vault as a whole, for people.
namespace stillpoint::manager {

void render_check(std::ostream& out, const serialization::Value& document);
void render_stats(std::ostream& out, const serialization::Value& document);
void render_vault(std::ostream& out, const serialization::Value& document);
void render_prune(std::ostream& out, const serialization::Value& document);
void render_gc(std::ostream& out, const serialization::Value& document);
void render_keys(std::ostream& out, const serialization::Value& document);
void render_repair(std::ostream& out, const serialization::Value& document);

}  // namespace stillpoint::manager
