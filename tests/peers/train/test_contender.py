"""Tests of the contenders: python -m unittest test_contender.

Compiling takes one or two minutes.
"""
import unittest

from contender import CONTENDERS
from steps import OPTIMIZERS, package, with_packages

NET = "20-16-12-5@32"
# The weights, gamma and beta of the hidden layers; the weights and biases of the output layer.
PARAMETERS = 20 * 16 + 2 * 16 + 16 * 12 + 2 * 12 + 12 * 5 + 5
PARAMETERS_WITH_BIASES = 20 * 16 + 16 + 16 * 12 + 12 + 12 * 5 + 5
INSTALLED = with_packages(CONTENDERS)
HAS_TORCH = any(package(name) == "torch" for name in INSTALLED)


class Contenders(unittest.TestCase):
    def test_every_contender_trains_the_same_net_and_its_loss_falls(self):
        for name in INSTALLED:
            for optimizer in OPTIMIZERS:
                with self.subTest(name=name, optimizer=optimizer):
                    parameters, train = CONTENDERS[name](NET, optimizer)
                    expected = PARAMETERS_WITH_BIASES if name == "sklearn" else PARAMETERS
                    self.assertEqual(parameters, expected)
                    _, before = train(8)
                    steps, after = train(800)
                    self.assertGreaterEqual(steps, 800)
                    self.assertLess(after, before)

    @unittest.skipUnless(HAS_TORCH, "torch is not installed")
    def test_compiled_torch_takes_the_steps_of_eager_torch(self):
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
