#include "quiesce/freeze_proof.hpp"

#include <algorithm>
#include <array>

namespace stillpoint::quiesce {
namespace {

using serialization::Evidence;
using serialization::EvidenceKind;
using serialization::Frozen;
using serialization::Thawed;
using serialization::Volume;
using serialization::Warning;

/// Everything the two sides say about one freeze.
struct Claim {
    const Frozen& frozen;
    const Thawed& thawed;
    const HostWindow& window;
    const std::string& lease_id;
    std::vector<Evidence> at_freeze;  // filesystems only, in one order
    std::vector<Evidence> at_thaw;
};

/// Two clocks never run alike: NTP slews by up to 0.05 %, an emulated timer jitters.
constexpr std::int64_t slack(std::int64_t span_ns) {
    return 5'000'000 + span_ns / 100;
}

/// From the host's last look before until its first word after: the guest must have held longer.
std::int64_t host_hold_ns(const HostWindow& w) {
    return w.thaw_sent_ns - w.frozen_received_ns;
}

/// From the host's request until it knew: the guest cannot have frozen longer.
std::int64_t host_span_ns(const HostWindow& w) {
    return w.thawed_received_ns - w.freeze_sent_ns;
}

std::int64_t least_hold_ns(const Claim& c) {
    const std::int64_t hold = host_hold_ns(c.window);
    return std::max<std::int64_t>(0, hold - c.window.paused_ns - slack(hold));
}

std::int64_t most_hold_ns(const Claim& c) {
    return host_span_ns(c.window) + slack(host_span_ns(c.window));
}

bool frozen_lease_wrong(const Claim& c) {
    return c.frozen.lease_id != c.lease_id;
}

bool thawed_lease_wrong(const Claim& c) {
    return c.thawed.lease_id != c.lease_id;
}

bool not_held(const Claim& c) {
    return !c.thawed.held;
}

bool window_disordered(const Claim& c) {
    const HostWindow& w = c.window;
    const std::array stamps{std::int64_t{0},      w.freeze_sent_ns,    w.frozen_received_ns,
                            w.snapshot_before_ns, w.snapshot_after_ns, w.thaw_sent_ns,
                            w.thawed_received_ns};
    return w.paused_ns < 0 || !std::is_sorted(stamps.begin(), stamps.end());
}

bool stamps_disordered(const Claim& c) {
    const Thawed& t = c.thawed;
    return t.first_freeze_ns <= 0 || t.frozen_ns < t.first_freeze_ns || t.thaw_ns < t.frozen_ns ||
           t.thawed_ns < t.thaw_ns;
}

bool stamps_changed(const Claim& c) {
    return c.frozen.first_freeze_ns != c.thawed.first_freeze_ns ||
           c.frozen.frozen_ns != c.thawed.frozen_ns;
}

bool too_short(const Claim& c) {
    return c.thawed.thaw_ns - c.thawed.frozen_ns < least_hold_ns(c);
}

bool too_long(const Claim& c) {
    return c.thawed.thawed_ns - c.thawed.first_freeze_ns > most_hold_ns(c);
}

/// The same filesystems both times, and none that stood still only afterwards.
bool volumes_contradict(const Claim& c) {
    const auto agree = [](const Evidence& before, const Evidence& after) {
        const bool late = after.quiesced && !before.quiesced && after.freezable && !after.excluded;
        return before.name == after.name && before.type == after.type &&
               before.excluded == after.excluded && before.freezable == after.freezable && !late;
    };
    return !std::equal(c.at_freeze.begin(), c.at_freeze.end(), c.at_thaw.begin(), c.at_thaw.end(),
                       agree);
}

bool needs_freeze(const Evidence& volume) {
    return volume.freezable && !volume.excluded;
}

bool durations_contradict(const Claim& c) {
    return std::any_of(c.at_thaw.begin(), c.at_thaw.end(), [&](const Evidence& v) {
        if (!needs_freeze(v) || !v.quiesced) return false;
        return v.duration_ns < least_hold_ns(c) || v.duration_ns > most_hold_ns(c);
    });
}

bool nothing_quiesced(const Claim& c) {
    return std::none_of(c.at_thaw.begin(), c.at_thaw.end(),
                        [](const Evidence& v) { return v.quiesced && !v.excluded; });
}

bool volume_failed(const Claim& c) {
    return std::any_of(c.at_thaw.begin(), c.at_thaw.end(),
                       [](const Evidence& v) { return needs_freeze(v) && !v.quiesced; });
}

struct Check {
    const char* code;
    const char* text;
    bool (*broken)(const Claim&);
};

/// In this order: the later ones subtract stamps that the earlier ones proved to be in order.
constexpr std::array checks{
    Check{"freeze.wrong_lease", "the guest's Frozen is about another freeze", frozen_lease_wrong},
    Check{"thaw.wrong_lease", "the guest's Thawed is about another freeze", thawed_lease_wrong},
    Check{"freeze.not_held", "the freeze did not hold until the thaw that was asked for", not_held},
    Check{"freeze.window", "the snapshot was not taken between Frozen and Thaw", window_disordered},
    Check{"freeze.stamps", "the guest's times are not in order", stamps_disordered},
    Check{"freeze.stamps_changed", "the guest tells other times at the thaw than at the freeze",
          stamps_changed},
    Check{"freeze.too_short", "the guest was frozen for less time than the snapshot took",
          too_short},
    Check{"freeze.too_long", "the guest says it was frozen for longer than the host waited",
          too_long},
    Check{"freeze.volumes_differ", "the guest thawed other filesystems than it had frozen",
          volumes_contradict},
    Check{"freeze.no_filesystem", "no filesystem was quiesced", nothing_quiesced},
    Check{"freeze.volume_failed", "a filesystem could not be held still", volume_failed},
    Check{"freeze.durations", "a filesystem's frozen time contradicts the times around it",
          durations_contradict}};

std::vector<Evidence> filesystems_of(const std::vector<Evidence>& all,
                                     const std::optional<serialization::Welcome>& welcome) {
    std::vector<Evidence> out;
    for (Evidence item : all) {
        if (item.kind != EvidenceKind::filesystem) continue;
        if (welcome) {
            for (const Volume& volume : welcome->volumes) {
                if (volume.name == item.name && !volume.freezable) item.freezable = false;
            }
        }
        out.push_back(std::move(item));
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const Evidence& a, const Evidence& b) { return a.name < b.name; });
    return out;
}

void note_coverage(const LevelInput& input, FreezeProof& proof) {
    const auto named = [&](const std::string& name) {
        return std::any_of(proof.evidence.begin(), proof.evidence.end(),
                           [&](const Evidence& e) { return e.name == name; });
    };
    for (const Evidence& e : proof.evidence) {
        if (e.excluded) proof.excluded.push_back(e.name);
        if (!e.excluded && !e.quiesced) proof.uncovered.push_back(e.name);
    }
    if (!input.welcome) return;
    for (const Volume& volume : input.welcome->volumes) {
        if (named(volume.name)) continue;
        (volume.excluded ? proof.excluded : proof.uncovered).push_back(volume.name);
    }
}

/// The names of the filesystems a failed check is about, for the reason's text.
std::string failed_names(const Claim& claim) {
    std::string names;
    for (const Evidence& e : claim.at_thaw) {
        if (!needs_freeze(e) || e.quiesced) continue;
        names += names.empty() ? ": " : ", ";
        names += e.name + (e.note.empty() ? "" : " (" + e.note + ")");
    }
    return names;
}

std::optional<Warning> first_problem(const Claim& claim) {
    for (const Check& check : checks) {
        if (!check.broken(claim)) continue;
        const bool about_volumes = check.broken == volume_failed || check.broken == not_held;
        return Warning{check.code, check.text + (about_volumes ? failed_names(claim) : "")};
    }
    return std::nullopt;
}

/// A claim that was disproved must not stand in the point as if it were true.
void retract(std::vector<Evidence>& evidence, const Warning& problem) {
    for (Evidence& e : evidence) {
        if (!e.quiesced) continue;
        e.quiesced = false;
        e.note += (e.note.empty() ? "not proven: " : "; not proven: ") + problem.code;
    }
}

}  // namespace

FreezeProof prove_freeze(const LevelInput& input) {
    FreezeProof proof;
    if (!input.frozen) {
        proof.problem = Warning{"freeze.missing", "the guest did not freeze"};
        return proof;
    }
    if (!input.thawed || !input.window) {
        proof.evidence = filesystems_of(input.frozen->evidence, input.welcome);
        proof.problem = input.window
                            ? Warning{"thaw.missing", "the guest did not answer the thaw"}
                            : Warning{"freeze.window", "no snapshot was taken while frozen"};
        retract(proof.evidence, *proof.problem);
        return proof;
    }
    const Claim claim{*input.frozen,
                      *input.thawed,
                      *input.window,
                      input.lease_id,
                      filesystems_of(input.frozen->evidence, input.welcome),
                      filesystems_of(input.thawed->evidence, input.welcome)};
    proof.evidence = claim.at_thaw;
    proof.problem = first_problem(claim);
    if (!window_disordered(claim)) {
        const bool believable = !stamps_disordered(claim) && !too_long(claim);
        proof.frozen_ns = believable ? claim.thawed.thawed_ns - claim.thawed.first_freeze_ns
                                     : host_span_ns(claim.window);
    }
    if (proof.problem) retract(proof.evidence, *proof.problem);
    note_coverage(input, proof);
    return proof;
}

}  // namespace stillpoint::quiesce
