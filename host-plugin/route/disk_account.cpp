#include "route/disk_account.hpp"

namespace stillpoint::route {

DiskDocument describe_disk(const DiskDecision& decision, const DiskTransfer& transfer,
                           std::int64_t time_ns) {
    const bool increment = transfer.mode == serialization::DiskMode::increment;
    const bool alone = transfer.mode == serialization::DiskMode::full;
    DiskDocument disk{.name = decision.disk.name,
                      .identity = decision.disk.identity(),
                      .path = decision.disk.path,
                      .format = decision.disk.format,
                      .serial = decision.disk.serial,
                      .serial_known = decision.disk.serial_known,
                      .parent = alone ? std::string{} : decision.parent_point,
                      .new_bitmap = decision.new_bitmap,
                      .mode = transfer.mode,
                      .reason = transfer.reason,
                      .size = transfer.root.size.raw(),
                      .read = transfer.read_bytes,
                      .shipped = transfer.counts.shipped_bytes,
                      .stored = transfer.counts.stored_bytes,
                      .read_whole_ns = increment ? decision.read_whole_ns : time_ns,
                      .increments = increment ? decision.increments : 0,
                      .audit = {}};
    if (transfer.audit) {
        disk.audit = AuditDocument{.clean = transfer.audit->clean,
                                   .chunks = transfer.audit->chunks,
                                   .data = transfer.audit->data,
                                   .changed = transfer.audit->changed,
                                   .bytes = transfer.audit->bytes};
    }
    return disk;
}

std::vector<serialization::Warning> judge_audit(const DiskDecision& decision,
                                                const DiskTransfer& transfer) {
    std::vector<serialization::Warning> warnings;
    if (!transfer.audit) return warnings;
    const AuditResult& audit = *transfer.audit;
    const std::string disk = "disk " + decision.disk.name + ": ";
    if (audit.changed > 0) {
        warnings.push_back(
            {"audit.mismatch",
             disk + std::to_string(audit.changed) + " of " + std::to_string(audit.chunks) +
                 " audited chunks have changed without a trace in change tracking; the whole disk "
                 "was compared and this point is right, but the point " +
                 decision.parent_point +
                 " and increments before it may lack changes of the same kind"});
    }
    if (audit.unreadable > 0) {
        warnings.push_back(
            {"audit.parent_damaged", disk + "the block map of point " + decision.parent_point +
                                         " is damaged; what lies there could not be audited"});
    }
    return warnings;
}

}  // namespace stillpoint::route
