#include "hypervisor/libvirt/backup_xml.hpp"

#include <tinyxml2.h>

#include <algorithm>
#include <string_view>

namespace stillpoint::hypervisor::libvirt {
namespace {

using tinyxml2::XMLDocument;
using tinyxml2::XMLElement;

std::string print(const XMLDocument& document) {
    tinyxml2::XMLPrinter printer;
    document.Print(&printer);
    return printer.CStr();
}

XMLElement* add_disk(XMLElement* disks, const std::string& name) {
    XMLElement* disk = disks->InsertNewChildElement("disk");
    disk->SetAttribute("name", name.c_str());
    return disk;
}

void add_backup_disk(XMLElement* disks, const BackupDisk& plan) {
    XMLElement* disk = add_disk(disks, plan.name);
    disk->SetAttribute("backup", "yes");
    disk->SetAttribute("type", "file");
    disk->SetAttribute("backupmode", plan.incremental.empty() ? "full" : "incremental");
    if (!plan.incremental.empty()) {
        disk->SetAttribute("incremental", plan.incremental.c_str());
        disk->SetAttribute("exportbitmap", export_bitmap_name(plan.name).c_str());
    }
    disk->SetAttribute("exportname", plan.name.c_str());
    disk->InsertNewChildElement("scratch")->SetAttribute("file", plan.scratch.c_str());
}

std::string checkpoint_document(const std::vector<BackupDisk>& disks,
                                const std::vector<std::string>& left_out) {
    const auto first = std::find_if(disks.begin(), disks.end(), [](const BackupDisk& disk) {
        return !disk.checkpoint.empty();
    });
    if (first == disks.end()) return {};
    XMLDocument document;
    XMLElement* root = document.NewElement("domaincheckpoint");
    document.InsertEndChild(root);
    root->InsertNewChildElement("name")->SetText(first->checkpoint.c_str());
    root->InsertNewChildElement("description")->SetText("Stillpoint backup");
    XMLElement* list = root->InsertNewChildElement("disks");
    for (const BackupDisk& disk : disks) {
        XMLElement* element = add_disk(list, disk.name);
        element->SetAttribute("checkpoint", disk.checkpoint.empty() ? "no" : "bitmap");
        if (!disk.checkpoint.empty()) element->SetAttribute("bitmap", disk.checkpoint.c_str());
    }
    for (const std::string& name : left_out) add_disk(list, name)->SetAttribute("checkpoint", "no");
    return print(document);
}

std::string attribute(const XMLElement* element, const char* name) {
    const char* value = element == nullptr ? nullptr : element->Attribute(name);
    return value == nullptr ? "" : value;
}

}  // namespace

std::string export_bitmap_name(const std::string& disk) {
    return "backup-" + disk;
}

BackupDocuments backup_documents(const std::string& socket, const std::vector<BackupDisk>& disks,
                                 const std::vector<std::string>& left_out) {
    XMLDocument document;
    XMLElement* root = document.NewElement("domainbackup");
    document.InsertEndChild(root);
    root->SetAttribute("mode", "pull");
    XMLElement* server = root->InsertNewChildElement("server");
    server->SetAttribute("transport", "unix");
    server->SetAttribute("socket", socket.c_str());
    XMLElement* list = root->InsertNewChildElement("disks");
    for (const BackupDisk& disk : disks) add_backup_disk(list, disk);
    for (const std::string& name : left_out) add_disk(list, name)->SetAttribute("backup", "no");
    return {print(document), checkpoint_document(disks, left_out)};
}

Result<RunningBackup> parse_backup(const std::string& xml) {
    XMLDocument document;
    document.Parse(xml.data(), xml.size());
    const XMLElement* root = document.Error() ? nullptr : document.RootElement();
    if (root == nullptr || std::string_view{root->Name()} != "domainbackup") {
        return fail(Errc::corrupt, "libvirt.xml", "libvirt's backup XML cannot be read");
    }
    RunningBackup backup;
    backup.socket = attribute(root->FirstChildElement("server"), "socket");
    const XMLElement* list = root->FirstChildElement("disks");
    for (const XMLElement* disk = list == nullptr ? nullptr : list->FirstChildElement("disk");
         disk != nullptr; disk = disk->NextSiblingElement("disk")) {
        const std::string scratch = attribute(disk->FirstChildElement("scratch"), "file");
        if (!scratch.empty()) backup.scratch.push_back(scratch);
        const int index = disk->IntAttribute("index", 0);
        if (index > 0) backup.scratch_indexes[attribute(disk, "name")] = index;
    }
    return backup;
}

std::string redefinition(const std::string& name, const std::vector<std::string>& disks,
                         const std::vector<std::string>& left_out, std::int64_t creation_time_s) {
    XMLDocument document;
    XMLElement* root = document.NewElement("domaincheckpoint");
    document.InsertEndChild(root);
    root->InsertNewChildElement("name")->SetText(name.c_str());
    root->InsertNewChildElement("description")->SetText("Stillpoint backup");
    root->InsertNewChildElement("creationTime")->SetText(creation_time_s);
    XMLElement* list = root->InsertNewChildElement("disks");
    for (const std::string& disk : disks) {
        XMLElement* element = add_disk(list, disk);
        element->SetAttribute("checkpoint", "bitmap");
        element->SetAttribute("bitmap", name.c_str());
    }
    for (const std::string& disk : left_out) add_disk(list, disk)->SetAttribute("checkpoint", "no");
    return print(document);
}

}  // namespace stillpoint::hypervisor::libvirt
