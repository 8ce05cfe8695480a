#include <vector>

#include "model/gc_state.hpp"

namespace stillpoint::test::gc_model {
namespace {

enum class Op {
    claim,
    view_marks,
    view_index,
    others,
    load_marks,
    put_waits,
    list_forgotten,
    list_there,
    list_runs,
    bury,
    list_packs,
    list_points,
    walk,
    list_forgotten_again,
    walk_forgotten,
    plan,
    next_mark,
    sweep_alive,
    index_without,
    old_index,
    delete_packs,
    remove_mark,
    copy,
    copy_index,
    mark_alive,
    list_awaited,
    put_mark,
    put_own_waits,
    look_at_runs,
    bury_more,
    matured,
    view_marks_again,
    view_index_again,
    list_points_since,
    walk_since,
    list_forgotten_since,
    walk_forgotten_since,
    sweep_own,
    drop_forgotten,
    end
};

/// One gc, at one step.
class Collector {
public:
    /// @param chosen the pack that goes, where the step is to delete one
    Collector(const World& world, const Rules& rules, State& state, unsigned self, unsigned chosen)
        : world_(world),
          rules_(rules),
          s_(state),
          g_(state.gc[self]),
          self_(self),
          chosen_(chosen) {}
    const char* take();

private:
    [[nodiscard]] unsigned actor() const { return writers + self_; }
    void go(Op op) { g_.pc = static_cast<Bits>(op); }
    void stop() {
        s_.runs = without(s_.runs, bit(actor()));
        g_.pc = over;
    }
    [[nodiscard]] bool alive() const {
        return !rules_.gc_lease || (s_.lease[actor()] & lapsed) == 0;
    }
    const char* open(Op op);
    const char* look_around(Op op);
    const char* walk_around(Op op);
    const char* decide(Op op);
    const char* sweep(Op op);
    const char* condemn(Op op);
    const char* finish(Op op);
    void view_marks();
    void list_runs(Op next);
    bool bury(Op next);
    void walk(bool forgotten, Op next);
    bool note(unsigned point);
    enum class Form { any, whole };
    [[nodiscard]] int find(unsigned chunk, Form form) const;
    bool note_chunk(unsigned chunk);
    [[nodiscard]] bool needed(unsigned pack) const {
        return (g_.needs[pack] | g_.needs_deltas[pack]) != 0;
    }
    void plan();
    void begin_sweep(unsigned mark);
    void drop_mark() { s_.marks[g_.sweeping].there = s_.marks[g_.sweeping].has_waits = 0; }
    void copy_sparse();

    const World& world_;
    const Rules& rules_;
    State& s_;
    Gc& g_;
    unsigned self_, chosen_;
};

unsigned lowest(Bits set) {
    unsigned at = 0;
    while (!has(set, at)) ++at;
    return at;
}

void Collector::view_marks() {
    g_.condemned = 0;
    for (const Mark& mark : s_.marks) g_.condemned |= mark.there != 0 ? mark.packs : Bits{0};
}

/// Collector::look_at_runs, the list.
void Collector::list_runs(Op next) {
    g_.live = sees_alive(s_, actor());
    g_.burying = without(without(s_.runs, g_.live), bit(actor()));
    go(next);
}

/// bury_run: the fence, then the run objects. @return whether there was one
bool Collector::bury(Op next) {
    if (g_.burying == 0) {
        go(next);
        return false;
    }
    const unsigned run = lowest(g_.burying);
    const unsigned point = 1 + run;
    const bool fence = run < writers && rules_.fences_expired;
    if (fence && !has(s_.published | s_.fenced, point)) {
        s_.fenced |= bit(point);
        return true;
    }
    s_.runs = without(s_.runs, bit(run));
    g_.burying = without(g_.burying, bit(run));
    return true;
}

/// StoredChunks::first_of: of several copies one that is not condemned, if there is any.
int Collector::find(unsigned chunk, Form form) const {
    int best = -1;
    for (unsigned at = 0; at < packs; ++at) {
        // Which of two copies comes first is chance: the second gc sees them the other way round.
        const unsigned pack = self_ == 0 ? at : packs - 1 - at;
        if (!has(g_.seen, pack) || !has(s_.there, pack)) continue;
        const bool delta = form == Form::any && has(s_.deltas[pack], chunk) &&
                           find(lowest(world_.builds_on), Form::whole) >= 0;
        if (!has(s_.holds[pack], chunk) && !delta) continue;
        if (best < 0 || !has(g_.condemned, pack)) best = static_cast<int>(pack);
        if (!has(g_.condemned, pack)) break;
    }
    return best;
}

/// Reach::note.
bool Collector::note_chunk(unsigned chunk) {
    const int found = find(chunk, Form::any);
    if (found < 0) return false;
    const auto pack = static_cast<unsigned>(found);
    if (has(s_.holds[pack], chunk)) {
        g_.needs[pack] |= bit(chunk);
        return true;
    }
    g_.needs_deltas[pack] |= bit(chunk);
    const unsigned base = lowest(world_.builds_on);
    if (rules_.bases_count) {
        g_.needs[static_cast<unsigned>(find(base, Form::whole))] |= bit(base);
    }
    return true;
}

bool Collector::note(unsigned point) {
    for (unsigned chunk = 0; chunk < 8; ++chunk) {
        if (!has(s_.needs[point], chunk) || has(g_.walked_chunks, chunk)) continue;
        if (note_chunk(chunk)) continue;
        g_.seen = s_.indexed;  // StoredChunks::look_again
        if (!note_chunk(chunk)) return false;
    }
    return true;
}

/// One point, or the end of the list. Damage ends the gc.
void Collector::walk(bool forgotten, Op next) {
    if (g_.todo == 0) {
        go(next);
        return;
    }
    if (!alive()) {
        stop();
        return;
    }
    const unsigned point = lowest(g_.todo);
    g_.todo = without(g_.todo, bit(point));
    if (!has(forgotten ? s_.forgotten : s_.published, point)) {
        if (forgotten) stop();  // another gc removed it: not ours to go on
        return;
    }
    if (!note(point)) {
        stop();
        return;
    }
    g_.walked |= bit(point);
}

const char* Collector::open(Op op) {
    switch (op) {
        case Op::claim:
            s_.runs |= bit(actor());
            go(Op::view_marks);
            return "puts its run object";
        case Op::view_marks:
        case Op::view_marks_again:
            view_marks();
            go(op == Op::view_marks ? Op::view_index : Op::view_index_again);
            return "reads the marks";
        case Op::view_index:
        case Op::view_index_again:
            g_.seen = s_.indexed;
            go(op == Op::view_index ? Op::others : Op::list_points_since);
            return "lists the index";
        case Op::others: {
            const Bits other_gcs = static_cast<Bits>(sees_alive(s_, actor()) >> writers);
            go(Op::load_marks);
            if (rules_.one_gc && other_gcs != 0) stop();
            return "looks for other gcs";
        }
        case Op::load_marks:
            for (unsigned at = 0; at < gcs; ++at)
                if (s_.marks[at].there != 0) g_.marks |= bit(at);
            go(Op::put_waits);
            return "lists the marks";
        default:
            for (unsigned at = 0; at < gcs; ++at) {
                Mark& mark = s_.marks[at];
                if (!has(g_.marks, at)) continue;
                if (mark.there == 0) g_.marks = without(g_.marks, bit(at));  // withdrawn meanwhile
                if (mark.has_waits == 0) mark.waits = without(s_.runs, bit(actor()));
                mark.has_waits = 1;
                g_.waits[at] = mark.waits;
            }
            go(rules_.forgotten_before_runs ? Op::list_forgotten : Op::list_runs);
            return "gives marks without waits theirs";
    }
}

const char* Collector::look_around(Op op) {
    switch (op) {
        case Op::list_forgotten:
            g_.forgotten = s_.forgotten;
            go(Op::list_there);
            return "lists the forgotten points";
        case Op::list_there:
            g_.there = s_.published;
            go(rules_.forgotten_before_runs ? Op::list_runs : Op::bury);
            return "lists the points";
        case Op::list_runs:
            list_runs(rules_.forgotten_before_runs ? Op::bury : Op::list_forgotten);
            return "lists the runs";
        case Op::bury: {
            if (bury(Op::list_packs)) return "buries a run";
            for (unsigned point = 0; point < points; ++point) {
                bool wanted = has(g_.there, point);
                for (unsigned run = 0; run < writers; ++run) {
                    const bool may_have = has(s_.writer[run].found, point);
                    wanted = wanted ||
                             (has(g_.live, run) && real_decisions().built_on[may_have ? 1 : 0]);
                }
                if (has(g_.forgotten, point) && !wanted) g_.nobodys |= bit(point);
            }
            if (!rules_.walks_forgotten) g_.nobodys = g_.forgotten;
            return "has buried all";
        }
        default:
            g_.in_store = s_.there;
            go(Op::list_points);
            return "lists the packs";
    }
}

const char* Collector::walk_around(Op op) {
    const bool since = g_.later != 0;
    switch (op) {
        case Op::list_points:
        case Op::list_points_since:
            g_.todo = without(s_.published, g_.walked);
            if (since && !rules_.looks_again) g_.todo = 0;
            go(since ? Op::walk_since : Op::walk);
            return "lists the points to walk";
        case Op::walk:
        case Op::walk_since:
            walk(false, since ? Op::list_forgotten_since : Op::list_forgotten_again);
            return "walks a point";
        case Op::list_forgotten_again:
        case Op::list_forgotten_since:
            g_.todo = rules_.walks_forgotten
                          ? without(s_.forgotten, static_cast<Bits>(g_.nobodys | g_.walked))
                          : Bits{0};
            go(since ? Op::walk_forgotten_since : Op::walk_forgotten);
            return "lists the forgotten points to walk";
        default: {
            Op next = since ? Op::sweep_own : Op::plan;
            // Switched off: who lives is looked at only now, after the walk.
            if (!since && !rules_.runs_before_points && g_.todo == 0) {
                g_.live = sees_alive(s_, actor());
            }
            walk(true, next);
            return "walks a forgotten point";
        }
    }
}

void Collector::plan() {
    view_marks();
    for (unsigned pack = 0; pack < packs; ++pack) {
        if (!has(g_.in_store, pack) || has(g_.condemned, pack)) continue;
        const bool sparse = world_.repacks && (g_.needs[pack] != s_.holds[pack] ||
                                               g_.needs_deltas[pack] != s_.deltas[pack]);
        if (!needed(pack) || sparse) g_.chosen |= bit(pack);
    }
    for (unsigned point = 0; point < points; ++point) {
        if (has(g_.walked, point)) g_.walked_chunks |= s_.needs[point];
    }
}

void Collector::begin_sweep(unsigned mark) {
    g_.sweeping = static_cast<Bits>(mark);
    g_.gone = 0;
    for (unsigned pack = 0; pack < packs; ++pack) {
        const bool kept = rules_.rescues && needed(pack);
        if (has(s_.marks[mark].packs, pack) && !kept) g_.gone |= bit(pack);
    }
    go(g_.gone == 0 ? Op::remove_mark : Op::sweep_alive);
}

const char* Collector::decide(Op op) {
    if (op == Op::plan) {
        plan();
        go(Op::next_mark);
        return "reads the marks and plans";
    }
    if (g_.marks == 0) {
        go(Op::copy);
        return "has swept the earlier marks";
    }
    const unsigned mark = lowest(g_.marks);
    g_.marks = without(g_.marks, bit(mark));
    const bool ripe = !rules_.waits_for_runs || (g_.waits[mark] & g_.live) == 0;
    if (ripe) begin_sweep(mark);
    return ripe ? "sweeps an earlier mark" : "leaves an earlier mark";
}

/// Collector::delete_packs and rewrite_index.
const char* Collector::sweep(Op op) {
    const Op done = g_.later != 0 ? Op::drop_forgotten : Op::next_mark;
    switch (op) {
        case Op::sweep_alive:
            go(Op::index_without);
            if (!rules_.mark_last) drop_mark();
            g_.snapshot = s_.indexed;
            if (!alive()) stop();
            return "looks at its lease and at the index";
        case Op::index_without:
            // What it read may name packs that another gc has deleted since.
            s_.indexed |= without(g_.snapshot, g_.gone);
            go(Op::old_index);
            return "puts an index without the packs";
        case Op::old_index:
            s_.indexed = without(s_.indexed, g_.gone);
            go(Op::delete_packs);
            return "removes the old index";
        case Op::delete_packs:
            s_.there = without(s_.there, bit(chosen_));
            g_.gone = without(g_.gone, bit(chosen_));
            if (g_.gone == 0) go(Op::remove_mark);
            return "deletes a pack";
        default:
            drop_mark();
            go(done);
            return "removes the mark";
    }
}

void Collector::copy_sparse() {
    Bits whole = 0, deltas = 0;
    for (unsigned pack = 0; pack < packs; ++pack) {
        if (!has(g_.chosen, pack)) continue;
        whole |= g_.needs[pack];
        deltas |= g_.needs_deltas[pack];
    }
    if ((whole | deltas) == 0 || !rules_.copies_first) return;
    s_.there |= bit(writers + 2 + self_);
    s_.holds[writers + 2 + self_] = whole;
    s_.deltas[writers + 2 + self_] = deltas;
}

const char* Collector::condemn(Op op) {
    Mark& mark = s_.marks[self_];
    const Bits own_copy = bit(writers + 2 + self_);
    switch (op) {
        case Op::copy:
            copy_sparse();
            go(Op::copy_index);
            return "copies what is needed";
        case Op::copy_index:
            if (has(s_.there, writers + 2 + self_)) s_.indexed |= own_copy;
            go(g_.chosen == 0 ? Op::drop_forgotten : Op::mark_alive);
            return "puts an index segment";
        case Op::mark_alive:
            go(rules_.mark_before_listing ? Op::put_mark : Op::list_awaited);
            if (!alive()) stop();
            return "looks at its lease";
        case Op::list_awaited:
            g_.snapshot = without(s_.runs, bit(actor()));
            go(rules_.mark_before_listing ? Op::put_own_waits : Op::put_mark);
            return "lists the runs to wait for";
        case Op::put_mark:
            mark = {1, g_.chosen, 0, 0};
            go(rules_.mark_before_listing ? Op::list_awaited : Op::put_own_waits);
            return "puts its mark";
        default:
            // The next gc may have been here: a name is taken once.
            if (mark.has_waits != 0) {
                stop();
                return "finds its waits put by another gc";
            }
            mark.has_waits = mark.there;
            mark.waits = g_.waits[self_] = g_.snapshot;
            go(Op::look_at_runs);
            return "puts its waits";
    }
}

const char* Collector::finish(Op op) {
    switch (op) {
        case Op::look_at_runs:
            list_runs(Op::bury_more);
            return "lists the runs again";
        case Op::bury_more:
            return bury(Op::matured) ? "buries a run" : "has buried all";
        case Op::matured: {
            const bool ripe = !rules_.waits_for_runs || (g_.waits[self_] & g_.live) == 0;
            g_.later = 1;
            g_.needs = g_.needs_deltas = {};
            go(ripe ? Op::view_marks_again : Op::drop_forgotten);
            return ripe ? "waits for nobody" : "leaves its mark";
        }
        case Op::sweep_own:
            begin_sweep(self_);
            return "sweeps its mark at once";
        case Op::drop_forgotten:
            s_.forgotten = without(s_.forgotten, g_.nobodys);
            go(Op::end);
            return "drops the forgotten points that nobody can build on";
        default:
            stop();
            return "takes its run object away";
    }
}

const char* Collector::take() {
    const Op op = static_cast<Op>(g_.pc);
    if (op <= Op::put_waits || op == Op::view_marks_again || op == Op::view_index_again) {
        return open(op);
    }
    if (op <= Op::list_packs) return look_around(op);
    if (op <= Op::walk_forgotten ||
        (op >= Op::list_points_since && op <= Op::walk_forgotten_since)) {
        return walk_around(op);
    }
    if (op <= Op::next_mark) return decide(op);
    if (op <= Op::remove_mark) return sweep(op);
    return op <= Op::put_own_waits ? condemn(op) : finish(op);
}

}  // namespace

void gc_steps(const World& world, const Rules& rules, const State& state, unsigned self,
              const Emit& emit) {
    if (self >= world.gcs || state.gc[self].pc == over) return;
    if (world.gcs_in_turn && self > 0 && state.gc[0].pc != over) return;
    static const char* const names[] = {"gc 1", "gc 2"};
    // Packs are removed several at a time, so in any order; of other steps there is one at a time.
    const Gc& gc = state.gc[self];
    const Bits choices = static_cast<Op>(gc.pc) == Op::delete_packs ? gc.gone : bit(0);
    for (unsigned chosen = 0; chosen < packs; ++chosen) {
        if (!has(choices, chosen)) continue;
        State after = state;
        const char* what = Collector{world, rules, after, self, chosen}.take();
        emit(names[self], what, after);
    }
}

}  // namespace stillpoint::test::gc_model
