#include "manager/render_vault.hpp"

#include "manager/terminal.hpp"
#include "serialization/reports.hpp"
#include "serialization/retention.hpp"

namespace stillpoint::manager {

namespace s = serialization;

void render_unreadable(std::ostream& out, const std::vector<s::UnreadablePoint>& points) {
    for (const s::UnreadablePoint& point : points) {
        out << point.point << "  CANNOT BE READ: " << point.text << "\n";
    }
    if (!points.empty()) {
        out << "what cannot be read `stillpoint vault repair` may bring back from its copy\n";
    }
}

void render_check(std::ostream& out, const s::Value& document) {
    const auto report = s::from_value<s::CheckReport>(document, "check");
    if (!report) return;
    for (const std::string& file : report->files) out << "wrote " << file << "\n";
    for (const s::Damage& damage : report->damage) {
        out << "damage:";
        if (!damage.point.empty()) out << " point " << damage.point;
        if (!damage.disk.empty()) out << " disk " << damage.disk;
        if (damage.length > 0) out << " bytes " << damage.offset << "+" << damage.length;
        out << ": " << damage.text << "\n";
    }
    if (report->written_since > 0) {
        out << human_bytes(report->written_since) << " written since the point, not compared\n";
    }
    if (!report->note.empty()) out << "note: " << report->note << "\n";
    if (report->without_key) {
        out << (report->ok ? "ok as far as it shows without the key" : "DAMAGED") << ": "
            << report->packs << (report->packs == 1 ? " pack, " : " packs, ")
            << human_bytes(report->bytes_read) << " compared with their names in "
            << fixed(report->seconds, 2) << " s\n";
        return;
    }
    out << (report->ok ? "ok" : "DAMAGED") << ": " << report->points
        << (report->points == 1 ? " point, " : " points, ") << human_bytes(report->bytes_read)
        << " read in " << fixed(report->seconds, 2) << " s\n";
}

void render_stats(std::ostream& out, const s::Value& document) {
    const auto report = s::from_value<s::StatsReport>(document, "stats");
    if (!report) return;
    render_unreadable(out, report->unreadable);
    out << report->points << " points, " << report->packs << " packs, " << report->chunks
        << " chunks\nlogical " << human_bytes(report->logical_bytes) << ", unique "
        << human_bytes(report->unique_bytes) << ", stored " << human_bytes(report->stored_bytes)
        << "\ncompression " << fixed(report->compression_ratio, 2) << " x";
    if (report->dedupe_ratio) {
        out << ", deduplication " << fixed(*report->dedupe_ratio, 2) << " x (data in all points "
            << human_bytes(*report->data_bytes) << ")";
    }
    out << "\n";
    if (report->freed_bytes) {
        const bool known = report->unreadable.empty();
        out << "forgetting what was named would free " << (known ? "" : "at most ")
            << human_bytes(*report->freed_bytes)
            << (known ? "" : ": what the points that cannot be read need is not known") << "\n";
    }
}

namespace {

void render_pruned(std::ostream& out, const char* verdict, const s::PrunedPoint& point) {
    out << verdict << "  " << point.point << "  " << point.time << "  " << point.vm << "  "
        << name_of(point.level);
    for (std::size_t i = 0; i < point.reasons.size(); ++i) {
        out << (i == 0 ? "  (" : ", ") << point.reasons[i];
    }
    out << (point.reasons.empty() ? "\n" : ")\n");
}

}  // namespace

void render_prune(std::ostream& out, const s::Value& document) {
    const auto report = s::from_value<s::PruneReport>(document, "prune");
    if (!report) return;
    render_unreadable(out, report->unreadable);
    for (const s::PrunedPoint& point : report->kept) render_pruned(out, "keep  ", point);
    for (const s::PrunedPoint& point : report->forgotten) render_pruned(out, "forget", point);
    const std::size_t all = report->kept.size() + report->forgotten.size();
    out << (report->dry_run ? "would forget " : "forgot ") << report->forgotten.size() << " of "
        << all << " recovery points\n";
    if (!report->dry_run && !report->forgotten.empty()) {
        out << "`stillpoint vault gc` frees the space\n";
    }
}

void render_vault(std::ostream& out, const s::Value& document) {
    out << "made vault " << document.text_or("vault") << " (encryption "
        << document.text_or("encryption") << ")\n";
    if (document.text_or("encryption") == "none") return;
    out << "Keep its key or passphrase safe and elsewhere: without it nothing can be restored.\n";
}

void render_gc(std::ostream& out, const s::Value& document) {
    const auto report = s::from_value<s::GcReport>(document, "gc");
    if (!report) return;
    out << report->points << (report->points == 1 ? " recovery point, " : " recovery points, ")
        << human_bytes(report->bytes_before) << " in packs\n";
    if (report->dry_run) {
        out << "would free " << human_bytes(report->unreachable_bytes) << ", and part of "
            << human_bytes(report->sparse_bytes) << " in packs of which little is needed\n";
    } else {
        out << "freed " << human_bytes(report->freed_bytes) << " (" << report->freed_packs
            << " packs), wrote " << human_bytes(report->written_bytes) << " anew\n";
    }
    if (report->waiting_bytes > 0) {
        out << human_bytes(report->waiting_bytes) << " wait for " << report->waiting_for.size()
            << " running backups: run gc again when they have ended\n";
    }
    if (report->skipped_bytes > 0) {
        out << human_bytes(report->skipped_bytes)
            << " are too young to tell from what running backups write\n";
    }
    if (report->lost_points > 0) {
        out << report->lost_points
            << " recovery points are gone without having been forgotten; what they "
            << "need was kept: see `stillpoint vault repair`\n";
    }
}

void render_keys(std::ostream& out, const s::Value& document) {
    const auto report = s::from_value<s::KeysReport>(document, "keys");
    if (!report) return;
    if (!report->added.empty()) out << "added key " << report->added << "\n";
    if (!report->removed.empty()) out << "removed key " << report->removed << "\n";
    for (const s::KeyReport& key : report->keys) {
        out << key.id << "  " << (key.damaged ? "damaged" : key.encryption)
            << (key.opened ? "  (the one given)" : "") << "\n";
    }
    if (!report->removed.empty()) {
        out << "A copy of the vault from before is still opened by the removed key.\n";
    }
}

void render_repair(std::ostream& out, const s::Value& document) {
    const auto report = s::from_value<s::RepairReport>(document, "repair");
    if (!report) return;
    const bool idle =
        report->damaged_segments + report->indexed_packs + report->copied + report->emptied_packs ==
            0 &&
        report->recovered.empty() && report->rewritten.empty();
    if (idle && report->ok) out << "nothing to repair\n";
    if (report->dry_run && !idle) out << "would do, and has not done:\n";
    if (report->damaged_segments > 0) {
        out << report->damaged_segments << " damaged parts of the index replaced\n";
    }
    if (report->indexed_packs > 0) {
        out << report->indexed_packs << " packs with " << report->indexed_chunks
            << " chunks added to the index\n";
    }
    for (const std::string& id : report->rewritten) out << id << "  written anew from its copy\n";
    for (const std::string& id : report->recovered) out << id << "  recovered\n";
    if (report->copied > 0) out << report->copied << " recovery points got a copy\n";
    if (report->emptied_packs > 0) {
        out << report->emptied_packs << " damaged packs emptied; " << report->lost_chunks
            << " chunks in them are lost\n";
    }
    for (const std::string& text : report->unreadable) out << "cannot be read: " << text << "\n";
    if (!report->recovered.empty()) {
        out << "Recovered points were gone without being forgotten: keep them with `stillpoint "
               "points\n"
               "confirm`, or drop them with `stillpoint forget`.\n";
    }
    if (!report->ok) out << "`stillpoint vault check` tells which recovery points are hit\n";
}

}  // namespace stillpoint::manager
