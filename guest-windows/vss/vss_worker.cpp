#include "vss/vss_worker.hpp"

#include <utility>

namespace stillpoint::windows_guest {

VssWorker::VssWorker(Parts parts)
    : parts_(std::move(parts)),
      backup_({.open = parts_.open, .repair = parts_.repair}),
      thread_(
          {parts_.enter_thread, [this] { (void)backup_.conclude(VssBackup::Outcome::failure); }}) {}

VssWorker::~VssWorker() {
    thread_.stop();
    backup_.cancel();
    backup_.cancel_look();
}

void VssWorker::prepare(PrepareOrder order) {
    backup_.rearm();
    push([this, order = std::move(order)] { return WorkerReport{backup_.prepare(order)}; });
}

void VssWorker::snapshot() {
    push([this] { return WorkerReport{backup_.snapshot()}; });
}

void VssWorker::conclude(VssBackup::Outcome outcome) {
    push([this, outcome] { return WorkerReport{backup_.conclude(outcome)}; });
}

void VssWorker::examine() {
    backup_.rearm_look();
    push([this] { return WorkerReport{parts_.examine(backup_.look())}; });
}

void VssWorker::push(std::function<WorkerReport()> order) {
    thread_.push([this, order = std::move(order)] { parts_.deliver(order()); });
}

}  // namespace stillpoint::windows_guest
