#include "route/point_document.hpp"

#include "base/hex.hpp"
#include "chunk/hash.hpp"
#include "env/clock.hpp"
#include "route/audit.hpp"

namespace stillpoint::route {
namespace {

constexpr std::uint32_t document_version = 1;

double ms(std::int64_t ns) {
    const std::int64_t microseconds = ns / 1000;
    return static_cast<double>(microseconds) / 1000.0;
}

serialization::AuditReport audit_report(const AuditDocument& audit) {
    constexpr double percent = 0.01, permille = 0.001;
    const AuditResult counts{
        .clean = audit.clean, .chunks = audit.chunks, .data = audit.data, .changed = audit.changed};
    return {.clean = audit.clean,
            .chunks = audit.chunks,
            .data = audit.data,
            .changed = audit.changed,
            .bytes = audit.bytes,
            .notices_1_percent = notice_probability(counts, percent),
            .notices_1_permille = notice_probability(counts, permille)};
}

serialization::DiskReport disk_report(const DiskDocument& disk, const vault::Point& point) {
    serialization::DiskReport report{.name = disk.name,
                                     .size = disk.size,
                                     .mode = disk.mode,
                                     .reason = disk.reason,
                                     .root = {},
                                     .read = disk.read,
                                     .shipped = disk.shipped,
                                     .stored = disk.stored,
                                     .audit = {}};
    if (disk.audit) report.audit = audit_report(*disk.audit);
    for (const vault::DiskRoot& root : point.disks) {
        if (root.disk == disk.name) report.root = to_hex(root.root.view());
    }
    return report;
}

serialization::ConfigurationReport definition_report(const PointDocument& document) {
    const ByteView content = as_bytes(document.definition);
    return {.kind = serialization::ConfigurationKind::definition,
            .name = definition_name(document),
            .path = {},
            .taken = true,
            .bytes = content.size(),
            .sha256 = to_hex(chunk::sha256(content)),
            .reason = {},
            .note = {}};
}

serialization::ConfigurationReport configuration_report(const ConfigurationDocument& file) {
    return {.kind = file.kind,
            .name = file.name,
            .path = file.path,
            .taken = !file.root.empty(),
            .bytes = file.bytes,
            .sha256 = file.sha256,
            .reason = file.reason,
            .note = file.note};
}

}  // namespace

std::string definition_name(const PointDocument& document) {
    return document.definition.starts_with('<') ? "domain.xml" : "vm.json";
}

Bytes encode_point_document(const PointDocument& document) {
    return serialization::to_cbor(serialization::to_value(document));
}

Result<PointDocument> decode_point_document(ByteView cbor) {
    SP_ASSIGN(const serialization::Value value, serialization::parse_cbor(cbor));
    SP_ASSIGN(PointDocument document, serialization::from_value<PointDocument>(value, "point"));
    if (document.version > document_version) {
        return fail(Errc::unsupported, "point.newer_version",
                    "the recovery point's document has version " + std::to_string(document.version),
                    "use the release of Stillpoint that made it, or a newer one");
    }
    return document;
}

serialization::PointReport report_of(const vault::Point& point, const PointDocument& document,
                                     std::uint64_t published_bytes) {
    serialization::PointReport report;
    report.point = point.id;
    report.recovered = point.recovered;
    report.vm = point.vm_name;
    report.uuid = point.vm_uuid;
    report.time = env::rfc3339(env::Nanoseconds{document.time_ns});
    report.parent = document.parent;
    report.level = document.level;
    report.asked = document.asked;
    report.partial = document.partial;
    report.uncovered = document.uncovered;
    if (document.frozen_ns) report.frozen_ms = ms(*document.frozen_ns);
    report.snapshot_ms = ms(document.snapshot_ns);
    if (document.paused_ns) report.paused_ms = ms(*document.paused_ns);
    report.transfer_s = ms(document.transfer_ns) / 1000.0;
    report.stored_total = document.stored_before_point + published_bytes;
    for (const DiskDocument& disk : document.disks)
        report.disks.push_back(disk_report(disk, point));
    if (!document.definition.empty()) report.configuration.push_back(definition_report(document));
    for (const ConfigurationDocument& file : document.configuration) {
        report.configuration.push_back(configuration_report(file));
    }
    for (const serialization::Evidence& fact : document.evidence) {
        report.evidence.push_back({.kind = fact.kind,
                                   .name = fact.name,
                                   .type = fact.type,
                                   .quiesced = fact.quiesced,
                                   .ms = ms(fact.duration_ns),
                                   .note = fact.note,
                                   .executions = fact.executions});
    }
    report.warnings = document.warnings;
    return report;
}

}  // namespace stillpoint::route
