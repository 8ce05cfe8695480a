#include "manager/render.hpp"

#include <array>
#include <cstdio>
#include <iomanip>

#include "manager/render_vault.hpp"
#include "manager/terminal.hpp"
#include "serialization/doctor.hpp"
#include "serialization/reports.hpp"

namespace stillpoint::manager {
namespace {

namespace s = serialization;

void render_audit(std::ostream& out, const s::AuditReport& audit) {
    constexpr double percent = 100.0;
    out << "      audited " << audit.chunks << " of " << audit.clean << " clean chunks, "
        << audit.data << " with data: ";
    if (audit.changed > 0) {
        out << audit.changed << " HAD CHANGED\n";
        return;
    }
    out << "none had changed (1 % changed unseen is noticed with "
        << fixed(audit.notices_1_percent * percent, 0) << " %, 0.1 % with "
        << fixed(audit.notices_1_permille * percent, 0) << " %)\n";
}

void render_disk(std::ostream& out, const s::DiskReport& disk) {
    out << "  " << disk.name << "  " << human_bytes(disk.size) << "  " << name_of(disk.mode);
    if (!disk.reason.empty()) out << " (" << disk.reason << ")";
    out << "\n      read " << human_bytes(disk.read) << ", shipped " << human_bytes(disk.shipped)
        << ", stored " << human_bytes(disk.stored) << "\n      root " << disk.root << "\n";
    if (disk.audit) render_audit(out, *disk.audit);
}

void render_configuration(std::ostream& out, const s::ConfigurationReport& file) {
    if (!file.taken) {
        out << "  NOT TAKEN " << name_of(file.kind) << ": " << file.reason;
    } else {
        out << "  " << file.name << "  " << human_bytes(file.bytes);
        if (!file.path.empty()) out << "  of " << file.path;
    }
    if (!file.note.empty()) out << "  (" << file.note << ")";
    out << "\n";
}

void render_evidence(std::ostream& out, const s::EvidenceReport& fact) {
    const bool hook = fact.kind == s::EvidenceKind::hook;
    const char* held = hook ? "ran      " : "held     ";
    const char* not_held = hook ? "failed   " : "not held ";
    out << "  " << (fact.quiesced ? held : not_held) << name_of(fact.kind) << " " << fact.name;
    if (!fact.type.empty()) out << " (" << fact.type << ")";
    if (fact.ms > 0) out << "  " << fixed(fact.ms, 1) << " ms";
    if (fact.executions > 1) out << "  executed " << fact.executions << " times";
    if (!fact.note.empty()) out << "  " << fact.note;
    out << "\n";
}

void render_level(std::ostream& out, const s::PointReport& point) {
    out << name_of(point.level) << "-consistent";
    if (point.level < point.asked) out << " (asked: " << name_of(point.asked) << ")";
    if (point.partial) out << ", partial";
}

void render_point(std::ostream& out, const s::Value& document) {
    const auto report = s::from_value<s::PointReport>(document, "point");
    if (!report) {
        out << to_json(document, s::JsonStyle::indented) << "\n";
        return;
    }
    out << "recovery point " << report->point << "\n"
        << "VM " << report->vm << (report->uuid.empty() ? "" : "  " + report->uuid) << "\n"
        << report->time << "  ";
    render_level(out, *report);
    out << "\nsnapshot " << fixed(report->snapshot_ms, 1) << " ms";
    if (report->frozen_ms) out << ", guest frozen " << fixed(*report->frozen_ms, 1) << " ms";
    if (report->paused_ms) out << ", VM paused " << fixed(*report->paused_ms, 1) << " ms";
    out << ", transfer " << fixed(report->transfer_s, 2) << " s, stored in all "
        << human_bytes(report->stored_total) << "\ndisks\n";
    for (const auto& disk : report->disks) render_disk(out, disk);
    if (report->recovered) {
        out << "recovered by `vault repair`: keep it with `stillpoint points confirm`\n";
    }
    if (!report->configuration.empty()) out << "configuration\n";
    for (const auto& file : report->configuration) render_configuration(out, file);
    if (!report->evidence.empty()) out << "evidence\n";
    for (const auto& fact : report->evidence) render_evidence(out, fact);
    for (const auto& name : report->uncovered) out << "not covered: " << name << "\n";
    for (const auto& warning : report->warnings) {
        out << "warning: " << warning.text << " [" << warning.code << "]\n";
    }
}

/// The array of that name; empty where there is none.
s::Array array_of(const s::Value& document, const std::string& name) {
    const s::Value* found = document.find(name);
    return found != nullptr && found->array() != nullptr ? *found->array() : s::Array{};
}

void render_points(std::ostream& out, const s::Value& document) {
    const s::Array points = array_of(document, "points");
    std::vector<s::UnreadablePoint> unreadable;
    for (const s::Value& entry : array_of(document, "unreadable")) {
        auto point = s::from_value<s::UnreadablePoint>(entry, "point");
        if (point) unreadable.push_back(std::move(*point));
    }
    if (points.empty() && unreadable.empty()) out << "no recovery points\n";
    render_unreadable(out, unreadable);
    for (const s::Value& entry : points) {
        const auto report = s::from_value<s::PointReport>(entry, "point");
        if (!report) continue;
        out << report->point << "  " << report->time << "  " << report->vm << "  ";
        render_level(out, *report);
        std::uint64_t shipped = 0;
        for (const auto& disk : report->disks) shipped += disk.shipped;
        out << "  " << report->disks.size() << (report->disks.size() == 1 ? " disk" : " disks")
            << "  shipped " << human_bytes(shipped) << "  stored "
            << human_bytes(report->stored_total) << (report->recovered ? "  recovered" : "")
            << "\n";
    }
}

void render_diff(std::ostream& out, const s::Value& document) {
    const auto report = s::from_value<s::DiffReport>(document, "diff");
    if (!report) return;
    for (const s::DiskDiff& disk : report->disks) {
        out << disk.name << "  changed " << human_bytes(disk.changed) << " of "
            << human_bytes(disk.size_now);
        if (disk.zeroed > 0) out << ", of it now zeros " << human_bytes(disk.zeroed);
        if (disk.size_before != disk.size_now) {
            out << ", size was " << human_bytes(disk.size_before);
        }
        out << "\n";
        for (const s::DiffExtent& extent : disk.extents) {
            out << "  bytes " << extent.offset << "+" << extent.length << "\n";
        }
    }
    for (const std::string& name : report->only_before) out << name << "  only in the earlier\n";
    for (const std::string& name : report->only_now) out << name << "  only in the later\n";
}

void render_guest(std::ostream& out, const s::Value& document) {
    out << "extension " << document.text_or("agent_version") << " on "
        << document.text_or("os_release") << ", answers in "
        << fixed(document.find("round_trip_ms") != nullptr &&
                         document.find("round_trip_ms")->real() != nullptr
                     ? *document.find("round_trip_ms")->real()
                     : 0.0,
                 2)
        << " ms\nhooks " << (document.boolean_or("hooks_configured", false) ? "configured" : "none")
        << ", journal " << document.text_or("journal", "clean") << "\n";
    const s::Value* changes = document.find("changes");
    if (changes != nullptr && changes->array() != nullptr) {
        for (const s::Value& change : *changes->array()) {
            if (change.text() != nullptr) out << "changed: " << *change.text() << "\n";
        }
    }
    const s::Value* volumes = document.find("volumes");
    if (volumes == nullptr || volumes->array() == nullptr) return;
    for (const s::Value& volume : *volumes->array()) {
        out << "  " << volume.text_or("name") << " (" << volume.text_or("type") << ")";
        if (volume.boolean_or("excluded", false))
            out << "  excluded";
        else if (!volume.boolean_or("freezable", true))
            out << "  not freezable";
        if (!volume.text_or("note").empty()) out << "  " << volume.text_or("note");
        out << "\n";
    }
}

void render_diagnosis(std::ostream& out, const s::Value& document) {
    const auto found = s::from_value<s::Diagnosis>(document, "diagnosis");
    if (found) out << s::diagnosis_text(*found);
}

void render_forgotten(std::ostream& out, const s::Value& document) {
    const s::Value* list = document.find("forgotten");
    if (list == nullptr || list->array() == nullptr) return;
    for (const s::Value& id : *list->array()) {
        if (id.text() != nullptr) out << "forgot " << *id.text() << "\n";
    }
    out << "`stillpoint vault gc` frees the space\n";
}

void render_confirmed(std::ostream& out, const s::Value& document) {
    const s::Value* ids = document.find("confirmed");
    if (ids == nullptr || ids->array() == nullptr) return;
    for (const s::Value& id : *ids->array()) {
        if (id.text() != nullptr) out << *id.text() << "  confirmed\n";
    }
}

struct Renderer {
    std::string_view kind;
    void (*render)(std::ostream&, const s::Value&);
};

constexpr std::array<Renderer, 17> renderers{{{"backup", render_point},
                                              {"show", render_point},
                                              {"points", render_points},
                                              {"points.diff", render_diff},
                                              {"vault.init", render_vault},
                                              {"vault.check", render_check},
                                              {"vault.stats", render_stats},
                                              {"vault.gc", render_gc},
                                              {"vault.repair", render_repair},
                                              {"points.confirm", render_confirmed},
                                              {"vault.key", render_keys},
                                              {"verify", render_check},
                                              {"restore", render_check},
                                              {"forget", render_forgotten},
                                              {"prune", render_prune},
                                              {"guest.status", render_guest},
                                              {"guest.doctor", render_diagnosis}}};

}  // namespace

void render_result(std::ostream& out, const std::string& kind, const s::Value& document) {
    for (const Renderer& renderer : renderers) {
        if (renderer.kind == kind) return renderer.render(out, document);
    }
}

void render_error(std::ostream& out, const s::Value& document) {
    const s::Value* error = document.find("error");
    if (error == nullptr) return;
    out << "stillpoint: " << error->text_or("text") << " [" << error->text_or("code") << "]\n";
    const std::string remedy = error->text_or("remedy");
    if (!remedy.empty()) out << "            " << remedy << "\n";
}

}  // namespace stillpoint::manager
