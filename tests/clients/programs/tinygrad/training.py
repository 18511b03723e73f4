"""A small network learns two interleaved spirals, with and without a captured graph of the step (TinyJit)."""

import numpy as np
from tinygrad import Tensor, TinyJit, nn
from tinygrad.helpers import Context

random = np.random.default_rng(0)
angle = np.sqrt(random.uniform(0, 1, 300)) * 3 * np.pi
arm = np.stack([angle * np.cos(angle), angle * np.sin(angle)], 1) / 8
points = np.concatenate([arm, -arm]).astype(np.float32) + random.normal(0, 0.02, (600, 2)).astype(np.float32)
labels = np.repeat([0, 1], 300).astype(np.int32)
Tensor.manual_seed(1)


class Network:
    def __init__(self):
        self.layers = [nn.Linear(2, 64), nn.Linear(64, 64), nn.Linear(64, 2)]

    def __call__(self, x):
        return self.layers[2](self.layers[1](self.layers[0](x).tanh()).tanh())


network = Network()
optimizer = nn.optim.Adam(nn.state.get_parameters(network), lr=0.01)
x, y = Tensor(points), Tensor(labels)


@TinyJit
@Context(TRAINING=1)
def step():
    optimizer.zero_grad()
    loss = network(x).sparse_categorical_crossentropy(y).backward()
    return loss.realize(*optimizer.schedule_step())


losses = [step().item() for _ in range(300)]
accuracy = (network(x).argmax(1) == y).mean().item()
assert losses[-1] < 0.2 < losses[0] and accuracy > 0.95, (losses[0], losses[-1], accuracy)
