"""What every way to start the extension must lead to. `vm` is the guest's machine."""
from test_guest import bodies, talk


class ServiceCase:
    """For a unittest.TestCase with a `vm` whose service freezes one filesystem, /mnt/a."""

    def check_still_point(self):
        said = bodies(talk(self.vm, "prepare", "freeze", "thaw", "finish"))
        self.assertTrue(said["Thawed"]["held"])
        self.assertEqual([(e["name"], e["quiesced"]) for e in said["Thawed"]["evidence"]],
                         [("/mnt/a", True)])

    def pid(self):
        return self.vm.run("pidof stillpoint-guest").strip()
