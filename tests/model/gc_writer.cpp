#include <vector>

#include "model/gc_state.hpp"

namespace stillpoint::test::gc_model {
namespace {

enum class Op {
    begin,
    put_run,
    marks,
    index,
    parent,
    look_up,
    put_pack,
    put_index,
    lease,
    publish
};

/// The order of a backup's store operations: RunLease::take, StoredChunks::refresh, the route's
/// list of points, ChunkRun::store and flush, BackupRun::publish.
std::vector<Op> program(const Rules& rules) {
    std::vector<Op> ops{Op::begin};
    if (!rules.parent_after_run) ops.insert(ops.begin(), Op::parent);
    if (rules.run_before_looking) ops.push_back(Op::put_run);
    ops.push_back(rules.marks_before_index ? Op::marks : Op::index);
    ops.push_back(rules.marks_before_index ? Op::index : Op::marks);
    if (rules.parent_after_run) ops.push_back(Op::parent);
    ops.push_back(Op::look_up);
    if (!rules.run_before_looking) ops.push_back(Op::put_run);
    ops.push_back(Op::put_pack);
    if (rules.index_before_point) ops.push_back(Op::put_index);
    ops.push_back(Op::lease);
    ops.push_back(Op::publish);
    if (!rules.index_before_point) ops.push_back(Op::put_index);
    return ops;
}

/// Packs that a writer counts on: StoredChunks::reliable.
Bits relied_on(const Rules& rules, const State& s, const Writer& w) {
    Bits usable = w.seen;
    if (rules.honours_marks) usable = without(usable, w.condemned);
    if (rules.confirms_in_store) usable = static_cast<Bits>(usable & s.there);
    return usable;
}

Bits chunks_in(const std::array<Bits, packs>& held, Bits these) {
    Bits chunks = 0;
    for (unsigned pack = 0; pack < packs; ++pack) {
        if (has(these, pack)) chunks |= held[pack];
    }
    return chunks;
}

void look_up(const World& world, const Rules& rules, State& s, Writer& w, Bits wanted) {
    const Bits usable = relied_on(rules, s, w);
    Bits known = chunks_in(s.holds, usable);
    const bool base = (known & world.builds_on) != 0;
    const bool some_base = (chunks_in(s.holds, w.seen) & world.builds_on) != 0;
    if (base || !rules.known_base) known |= chunks_in(s.deltas, usable);
    wanted = without(wanted, w.needs);  // of the parent: not looked up
    w.needs |= wanted;
    w.missing = without(wanted, known);
    if (rules.builds_on_known ? base : some_base) {
        w.deltas = static_cast<Bits>(w.missing & world.differs);
    }
}

void end_run(State& s, unsigned self) {
    s.runs = without(s.runs, bit(self));
    s.writer[self].pc = over;
}

const char* take(const World& world, const Rules& rules, Op op, State& s, unsigned self) {
    Writer& w = s.writer[self];
    const Bits own_pack = bit(2 + self);
    ++w.pc;
    switch (op) {
        case Op::begin:
            w.found =
                without(bit(0) | bit(1) | bit(2), s.removed);  // its time says: not after these
            return "begins";
        case Op::put_run:
            s.runs |= bit(self);
            return "puts its run object";
        case Op::marks:
            for (const Mark& mark : s.marks) w.condemned |= mark.there != 0 ? mark.packs : Bits{0};
            return "reads the marks";
        case Op::index:
            w.seen = s.indexed;
            return "lists the index";
        case Op::parent:
            if (world.parent[self] < 0) return "lists the points";
            if (const auto parent = static_cast<unsigned>(world.parent[self]);
                has(s.published, parent)) {
                w.needs |= s.needs[parent];
            }
            return "lists the points";
        case Op::look_up:
            look_up(world, rules, s, w, world.stores[self]);
            return "looks up what it has";
        case Op::put_pack:
            if (w.missing == 0) return "has nothing to store";
            s.there |= own_pack;
            s.holds[2 + self] = without(w.missing, w.deltas);
            s.deltas[2 + self] = w.deltas;
            return "puts a pack";
        case Op::put_index:
            if (w.missing != 0) s.indexed |= own_pack;
            return "puts an index segment";
        case Op::lease:
            if (rules.lease_before_publish && (s.lease[self] & lapsed) != 0) end_run(s, self);
            return "looks at its lease";
        case Op::publish:
            w.flying = 1;
            return "sends its point";
    }
    return "";
}

void arrive(const Rules& rules, State& s, unsigned self) {
    Writer& w = s.writer[self];
    const unsigned point = 1 + self;
    w.flying = 0;
    if (has(s.fenced, point) && rules.names_taken_once) return;
    s.fenced = without(s.fenced, bit(point));
    s.published |= bit(point);
    s.needs[point] = w.needs;
}

}  // namespace

void writer_steps(const World& world, const Rules& rules, const State& state, unsigned self,
                  const Emit& emit) {
    if (world.stores[self] == 0) return;
    if (world.writers_in_turn && self > 0 && state.writer[0].pc != over) return;
    static const char* const names[] = {"writer 1", "writer 2"};
    const char* name = names[self];
    const Writer& w = state.writer[self];
    if (w.flying != 0) {  // whatever becomes of who sent it
        State after = state;
        arrive(rules, after, self);
        emit(name, "its point arrives", after);
        if (!rules.failed_put_expires && has(state.runs, self)) {
            after = state;
            after.runs = without(after.runs, bit(self));
            emit(name, "hears nothing and takes its run object away", after);
        }
        return;
    }
    if (w.pc == over) return;
    const auto ops = program(rules);
    if (w.pc == ops.size()) {
        State after = state;
        end_run(after, self);
        emit(name, "takes its run object away", after);
        return;
    }
    State after = state;
    const char* what = take(world, rules, ops[w.pc], after, self);
    emit(name, what, after);
    if (!has(state.runs, self) || !world.gives_up) return;
    after = state;
    end_run(after, self);
    emit(name, "gives up", after);
}

}  // namespace stillpoint::test::gc_model
