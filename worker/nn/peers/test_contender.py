"""python -m unittest test_contender: the contenders train what they say that they train. Compiling takes a minute or two."""
import unittest

from contender import CONTENDERS
from steps import OPTIMIZERS, package, with_packages

NET = "20-16-12-5@32"
# Weights and gamma and beta of the hidden layers; weights and biases of the last.
PARAMETERS = 20 * 16 + 2 * 16 + 16 * 12 + 2 * 12 + 12 * 5 + 5
WITH_BIASES = 20 * 16 + 16 + 16 * 12 + 12 + 12 * 5 + 5
INSTALLED = with_packages(CONTENDERS)


class Contenders(unittest.TestCase):
    def test_train_this_net(self):
        for name in INSTALLED:
            for optimizer in OPTIMIZERS:
                with self.subTest(name=name, optimizer=optimizer):
                    parameters, train = CONTENDERS[name](NET, optimizer)
                    self.assertEqual(parameters, WITH_BIASES if name == "sklearn" else PARAMETERS)
                    _, before = train(8)
                    steps, after = train(800)
                    self.assertGreaterEqual(steps, 800)
                    self.assertLess(after, before)

    @unittest.skipUnless(any(package(name) == "torch" for name in INSTALLED), "torch is not installed")
    def test_take_the_same_steps_compiled_or_not(self):
        for optimizer in OPTIMIZERS:
            losses = {}
            for name in filter(lambda name: package(name) == "torch", INSTALLED):
                _, train = CONTENDERS[name](NET, optimizer)
                losses[name] = train(100)[1]
            for name, loss in losses.items():
                with self.subTest(name=name, optimizer=optimizer):
                    self.assertAlmostEqual(loss, losses["torch-eager"], places=2)


if __name__ == "__main__":
    unittest.main()
