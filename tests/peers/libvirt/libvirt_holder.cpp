// libvirt_holder VM FOLDER PHASE BITMAP: begins a backup of the VM's vda, writes its keeper's order
// to FOLDER/order, goes on to PHASE (prepared, begun, taken or exported), writes FOLDER/there, and
// holds still: the victim of the tests that kill an owner.
#include <unistd.h>

#include <fstream>
#include <iostream>

#include "backup_steps.hpp"

namespace {

using namespace stillpoint;
using namespace stillpoint::test;

void go(BackupSteps& steps, const std::string& phase) {
    must(steps.snapshot().prepare(steps.soon(), env::CancelToken{}));
    if (phase == "prepared") return;
    if (phase == "begun") {
        // Gives up at once: libvirt is at work when we are killed.
        static_cast<void>(
            steps.snapshot().take({env::SystemClock{}, std::chrono::milliseconds{1}}));
        return;
    }
    must(steps.snapshot().take(steps.soon()));
    if (phase == "taken") return;
    must(steps.snapshot().open_exports(steps.soon()));
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) return 2;
    const env::Path folder = arguments[2];
    try {
        BackupSteps steps{arguments[1]};
        steps.plan({"vda"}, "", arguments[4], folder);
        std::ofstream{folder / "order"} << to_json(steps.snapshot().keeper_document());
        go(steps, arguments[3]);
        std::ofstream{folder / "there"} << "yes";
        ::pause();
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
    return 0;
}
