"""The exercises of lesson 05, training."""

import contextlib
import copy
import weakref
from functools import cache, partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from segutils import metrics
from segutils.exercises.calling import stub
from segutils.exercises.declare import Case, Exercise, Mistake, Problem, itself, one_case
from segutils.exercises.judging import difference

VOID = 255


def _same(got, expected) -> bool:
    return difference(got, expected) is None


# ---- range_test ------------------------------------------------------------------------------

WINDOW = 5


def sweep(rng, steps=60, lowest=0.3, end="nan"):
    """The rates and losses of a made-up range test, two (steps,) float64 arrays.

    The loss stays, falls to about `lowest`, rises, and jumps about; then follow a few of `end`:
    "nan", "inf" or "" for a run that was stopped in time. With "back" numbers follow two NaN, and
    the lowest loss of all is among them.
    """
    rates = np.geomspace(1e-5, 10, steps)
    place = np.arange(steps) / steps + rng.uniform(-0.05, 0.05)
    losses = 1.1 - (1.1 - lowest) / (1 + np.exp(-25 * (place - 0.5)))
    losses += rng.normal(0, 0.06, steps)  # the noise of small batches
    beyond = np.clip(place - 0.75, 0, None) / 0.25
    losses += beyond * rng.uniform(1, 9, steps)  # a rate that is too high: up and down
    if end == "back":
        losses[-12:] = [np.nan] * 2 + [5] * 5 + [0.02] + [0.1] * 4
    elif end:
        losses[-int(rng.integers(4, 8)):] = float(end)
    return rates, losses


def _sweep_cases(rng):
    kinds = [("a run that ends in NaN", 0.3, "nan"), ("a run that is stopped in time", 0.3, ""),
             ("a run that ends in infinity", 0.3, "inf"), ("a run that learns little", 0.8, "nan"),
             ("a run in which numbers follow NaN", 0.3, "back")]
    return [Case(label, sweep(rng, int(rng.integers(55, 75)), lowest, end))
            for label, lowest, end in kinds * 3]


def _finite(losses):
    """The losses before the first that is NaN or infinite."""
    bad = ~np.isfinite(losses)
    return losses[: bad.argmax()] if bad.any() else losses


def _smooth(losses, window=WINDOW, edges="valid"):
    return np.convolve(losses, np.ones(window) / window, edges)


def _pick(rates, losses, window=WINDOW, edges="valid", cut=_finite, lowest=np.argmin, ahead=0,
          shift=None, slope=lambda smooth, rates: np.diff(smooth)):
    """The rate of the steepest fall; the keyword arguments make the known mistakes."""
    smooth = _smooth(cut(losses), window, edges)
    offset = window // 2 if shift is None else shift
    with np.errstate(invalid="ignore"):  # infinity less infinity
        falls = slope(smooth, rates[offset:offset + len(smooth)])
    return float(rates[offset + int(np.argmin(falls[: max(1, lowest(smooth))])) + ahead])


def _lowest(rates, losses, window=WINDOW):
    return float(rates[window // 2 + int(np.argmin(_smooth(_finite(losses), window)))])


def _range_test_target():
    caption = (
        "Rates 1, 2, 4, … and losses that smooth to 9, 9, 8, 5, 4, 8, 4.5 from the third rate (4) "
        "on: the lowest is 4, and the largest fall on the way there is from 8 to 5. It begins at "
        "the fifth rate, 16."
    )
    return caption, None


RANGE_TEST = Exercise(
    name="ex05.range_test",
    title="A learning-rate range test",
    aim="read a learning rate off a range test",
    level="warm-up",
    points=2,
    minutes=12,
    cases=_sweep_cases,
    oracle=_pick,
    mistakes=(
        Mistake(
            "at_the_lowest",
            "This is the rate at which the loss is lowest. There learning has just stopped: one "
            "more step to the right and it climbs. Where does the loss fall fastest?",
            like=_lowest,
        ),
        Mistake(
            "at_the_lowest_raw",
            "This is the rate of the lowest single loss, which is lowest by luck as well. And "
            "where the loss is lowest, learning has just stopped: where does it fall fastest?",
            like=partial(_lowest, window=1),
        ),
        Mistake(
            "nan_wins",
            "NaN is neither smaller nor larger than anything, and argmin takes the first one that "
            "it meets. Cut the run off where it is no longer finite, before you smooth.",
            like=partial(_pick, cut=lambda losses: losses),
        ),
        Mistake(
            "gaps_closed",
            "Only the losses that are NaN or infinite were taken out, and the run was joined "
            "together again behind them. From the first one on nothing counts, numbers neither.",
            like=lambda rates, losses: _pick(rates[np.isfinite(losses)],
                                             losses[np.isfinite(losses)]),
        ),
        Mistake(
            "nan_is_zero",
            "NaN was turned into 0, so the broken steps have the lowest losses of all. Cut the run "
            "off where it is no longer finite.",
            like=partial(_pick, cut=np.nan_to_num),
        ),
        Mistake(
            "not_smoothed",
            "This is the largest fall between two single losses. Batches differ, so that is mostly "
            "luck: smooth first.",
            like=partial(_pick, window=1),
        ),
        Mistake(
            "window_shift",
            "Your rate is two places too early. A mean over five belongs to the middle one: the "
            "first smoothed loss has which rate?",
            like=partial(_pick, shift=0),
        ),
        Mistake(
            "window_behind",
            "Your rate is two places too late: that of the last of the five losses. Their mean "
            "belongs to the middle one.",
            like=partial(_pick, shift=4),
        ),
        Mistake(
            "place",
            "This is a place in the array. The rate at that place is asked for.",
            like=lambda rates, losses: int(np.searchsorted(rates, _pick(rates, losses))),
        ),
        Mistake(
            "one_late",
            "Your rate is the one at the lower end of the fall. The step that brought it about was "
            "taken with the rate before.",
            like=partial(_pick, ahead=1),
        ),
        Mistake(
            "per_rate",
            "The fall is divided by how much the rate grew. The rates grow by a factor, so the "
            "smallest ones lie thousands of times closer together and always win. One step counts "
            "as one.",
            like=partial(_pick, slope=lambda smooth, rates: np.diff(smooth) / np.diff(rates)),
        ),
        Mistake(
            "two_wide",
            "np.gradient looks at both neighbours, two steps apart. The fall from one smoothed "
            "loss to the next is asked for.",
            like=partial(_pick, slope=lambda smooth, rates: np.gradient(smooth)),
        ),
        Mistake(
            "relative",
            "Each fall is divided by the loss at which it begins. The fall itself is asked for, "
            "from one smoothed loss to the next.",
            like=partial(_pick, slope=lambda smooth, rates: np.diff(smooth) / smooth[:-1]),
        ),
        Mistake(
            "after_the_lowest",
            "This fall lies beyond the lowest point. A run whose rate is too high jumps up and "
            "down, and jumps fall steeply too: look only as far as the lowest smoothed loss.",
            like=partial(_pick, lowest=lambda smooth: len(smooth) - 1),
        ),
        Mistake(
            "rise",
            "This is where the loss rises most, or falls least. A fall is a negative difference.",
            like=partial(_pick, slope=lambda smooth, rates: -np.diff(smooth)),
        ),
        Mistake(
            "tenth",
            "A tenth of the rate with the lowest loss is a rule of thumb, and not this one. Where "
            "does the loss fall fastest?",
            like=lambda rates, losses: _lowest(rates, losses) / 10,
        ),
        Mistake(
            "edges",
            "At the edges your mean runs over what is not there. Zeros beyond the ends make the "
            "first smoothed loss the lowest, and nothing is left before it: keep the places where "
            "all five losses exist.",
            like=partial(_pick, edges="same", shift=0),
        ),
    ),
    hints=(
        "Four steps: cut at the first loss that is not finite; smooth; cut at the lowest smoothed "
        "loss; take the largest fall. Keep the rates in step with the losses all the way.",
    ),
    target=_range_test_target,
)


# ---- resume ----------------------------------------------------------------------------------


class Run:
    """A tiny training run that keeps all it knows where you can see it."""

    STEPS = 24

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.x = torch.linspace(-2, 2, 24)[:, None] ** torch.arange(1, 5)  # (24, 4)
        self.y = (torch.arange(24) // 5) % 2  # (24,) two classes
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(),
                                 nn.Dropout(0.3), nn.Linear(8, 2))
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.02)
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, 0.02, self.STEPS)
        self.rng = np.random.default_rng(seed)
        self.order = []  # points still to come in this epoch
        self.step = 0
        self.best_loss, self.best = float("inf"), {}

    def train(self, steps):
        """Take some steps of four points each, and return their losses."""
        losses = []
        for _ in range(steps):
            if not self.order:  # a new epoch
                self.order = self.rng.permutation(24).tolist()
            batch = [self.order.pop() for _ in range(4)]
            loss = F.cross_entropy(self.net(self.x[batch]), self.y[batch])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
            losses.append(loss.item())
            if losses[-1] < self.best_loss:
                self.best_loss, self.best = losses[-1], copy.deepcopy(self.net.state_dict())
        return losses


def _flat(tensors):
    """Many tensors as one (N,) float64 array."""
    return np.concatenate([np.asarray(t.detach(), np.float64).ravel() for t in tensors] or [[]])


def _look(run):
    """All that the rest of a run depends on, part by part, as arrays."""
    moments = run.optimizer.state_dict()["state"].values()
    return {
        "weights": _flat(run.net.parameters()),
        "buffers": _flat(run.net.buffers()),
        "moments": _flat(torch.as_tensor(x) for part in moments for x in part.values()),
        "rate": np.array([run.optimizer.param_groups[0]["lr"], run.scheduler.last_epoch]),
        "order": np.array(run.order, int),
        "shuffling": copy.deepcopy(run.rng).permutation(24),
        "dropout": torch.get_rng_state().numpy().astype(int),
        "step": np.array(run.step),
        "best": np.append(_flat(run.best.values()), run.best_loss),
    }


@cache
def _whole(seed, stop):
    """What a run looks like after `stop` steps if nothing interrupts it."""
    with torch.random.fork_rng(devices=[]):
        run = Run(seed)
        run.train(stop)
        return _look(run)


LATER = 3  # steps that a run goes on after it was saved


def _resume(answer, seed, stop):
    """Save a run after `stop` steps, let it go on, load into a fresh one, and train that."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not all(map(callable, answer)):
        raise TypeError("give check both functions: (save, load)")
    save, load = answer
    with torch.random.fork_rng(devices=[]):
        run = Run(seed)
        run.train(stop)
        state = save(run)
        if state is None and stub(save):
            raise NotImplementedError
        run.train(LATER)
        later, fresh = _look(run), Run(seed + 1)
        before = _look(fresh)
        load(fresh, state)
        loaded = end = None  # as it stays where a part is no longer what it was
        with contextlib.suppress(Exception):
            loaded = _look(fresh)
        if stub(load) and loaded and not _differs(before, loaded):
            raise NotImplementedError
        with contextlib.suppress(Exception):
            fresh.train(Run.STEPS - stop)
            end = _look(fresh)
    return {"later": later, "loaded": loaded, "end": end}


def _differs(a, b):
    """The parts in which two looks at a run differ, to the last bit."""
    return [part for part in a if not np.array_equal(a[part], b[part], equal_nan=True)]


_FORGOTTEN = {
    "weights":
        "Right after load the run does not have the weights that it was saved with. Does load "
        "change the very run that it is given? (One that is returned reaches nobody.)",
    "buffers":
        "All weights come back, but batch norm also keeps a running mean and variance, which are "
        "buffers and no parameters. Training does not look at them, and every prediction does.",
    "moments":
        "The weights come back, and AdamW starts from nothing: for each weight it keeps two "
        "running means and a count. Its first steps after the resume are then of another size.",
    "rate":
        "The learning rate is not where it was: the schedule starts over, and a second warm-up "
        "shakes what was learned.",
    "order":
        "The epoch starts over. Some points are then seen twice in it and the others wait: what "
        "is still to come of the epoch belongs to the run as well.",
    "shuffling":
        "This epoch goes on as it should, and the next ones come in another order: who draws "
        "them, and from which state?",
    "dropout":
        "All that the run holds comes back, but dropout draws other units than it would have "
        "drawn. Its random numbers are torch's own, and no attribute of the run.",
    "step":
        "The weights are right to the last bit, but the run has lost count: `step` is not what it "
        "was.",
    "best":
        "The run has forgotten its best weights, or their loss. After the resume the first step "
        "counts as the best so far.",
}
_RESUME_HINTS = {
    "reference":
        "What you saved went on changing while the run went on. A state dict holds the live "
        "tensors, and a list that is stored is the same list: keep copies.",
    "save_changes_run":
        "Saving changes the run itself: it goes on otherwise than it would have without. Only "
        "look, and draw no random numbers.",
    "best_is_now":
        "The best weights that come back are those of the last step before the save. They were "
        "better at an earlier step, and the run keeps them in `best`.",
    "not_trained":
        "Right after load all is as it was, but then training does not move these weights: the "
        "optimizer still holds those of another network. Load into the net that is there.",
    "parts_apart":
        "Right after load all is as it was, and yet it goes on otherwise. Are optimizer, "
        "schedule and net of the run still tied to one another? Load into those that are there.",
    "not_trainable":
        "After load the run cannot be trained any more. Each of its parts has to be what it was: a "
        "net, an optimizer, a schedule. Load into those that are there.",
}


def _resumed(calls):
    """What is wrong with the first resume that does not end as it should; None if all do."""
    for (seed, stop), got in calls:
        whole = [_whole(seed, steps) for steps in (stop, stop + LATER, Run.STEPS)]
        key = _fault(**got, whole=whole)
        if key:
            return Problem(key, {**_FORGOTTEN, **_RESUME_HINTS}[key])
    return None


def _fault(later, loaded, end, whole):
    """The key of a resume's fault, "" if it has none; `whole` is the run uninterrupted."""
    saved, went_on, wanted = whole
    if _differs(later, went_on):
        return "save_changes_run"
    if loaded is None:
        return "not_trainable"
    lost = _differs(saved, loaded)
    if end is not None and "best" not in lost and not _differs(end, wanted):
        return ""
    if any(np.array_equal(loaded[part], later[part]) for part in lost):
        return "reference"
    if end is None:
        return "not_trainable"
    if not lost:
        return "parts_apart" if _differs(end, loaded)[0] == "weights" else "not_trained"
    state = np.append(loaded["weights"], loaded["buffers"])
    if lost[0] == "best" and np.array_equal(np.sort(loaded["best"][:-1]), np.sort(state)):
        return "best_is_now"
    return lost[0]


def _resume_cases(rng):
    seeds = rng.integers(1, 10**6, 3).tolist()
    _whole(seeds[0], Run.STEPS)  # a first optimizer loads much of torch: not on the reader's time
    return [Case(f"a run that is stopped after {stop} of {Run.STEPS} steps", (seed, stop))
            for seed, stop in zip(seeds, (8, 13, 16), strict=True)]


RESUME = Exercise(
    name="ex05.resume",
    title="Mend a resume that is not bit-exact",
    aim="save and resume a run so that it ends as if it had never stopped",
    level="core",
    points=4,
    minutes=25,
    cases=_resume_cases,
    examine=_resumed,
    call=_resume,
    value=True,
    hints=(
        "Go through `Run.__init__` and `Run.train` line by line, and ask of each name: is it the "
        "same in a fresh run? If not, it is part of the state. One thing has no name there.",
        "torch.get_rng_state() and torch.set_rng_state() are for what has no name; "
        "rng.bit_generator.state is NumPy's. And after save the run goes on: copies, all of them.",
    ),
    target=lambda: (
        "Equal to the last bit after all 24 steps: weights, buffers, `step`, `best` and "
        "`best_loss`. What the losses after the resume are depends on the seed.", None,
    ),
)


# ---- accumulate ------------------------------------------------------------------------------


def _accumulate_cases(rng):
    def case(label, pictures, size, shares):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1))
        image = torch.from_numpy(rng.normal(0, 1, (pictures, 3, 5, 6)))
        target = torch.from_numpy(rng.integers(0, 3, (pictures, 5, 6)))
        hidden = rng.random(target.shape) < np.array(shares)[:, None, None]
        target[torch.from_numpy(hidden)] = VOID
        return Case(label, (net.double(), image, target, size))

    mixed = rng.uniform(0.1, 0.9, 6)
    return [
        case("4 pictures without void, in twos", 4, 2, [0] * 4),
        case("6 pictures with void, in twos", 6, 2, mixed),
        case("5 pictures with void, in twos", 5, 2, mixed[:5]),
        case("a part that is all void", 6, 3, [1, 1, 1, 0.1, 0.5, 0.2]),
        case("pictures one by one", 3, 1, mixed[:3]),
        case("a batch that fits whole", 3, 4, mixed[3:]),
    ]


class _Held:
    """A mark on a graph: it lives as long as one can go back through it."""


def _watched(answer, net, image, target, size):
    """(loss, gradient, weights moved, most pictures held, calls that held them) of an answer.

    A picture is held from its way forward until its way back, or until nobody can go back any
    more: so long its activations stay.
    """
    net, forwards, holding, most = copy.deepcopy(net), [], {}, [0, 0]
    before = _flat(net.parameters())
    for p in net.parameters():
        p.grad = torch.ones_like(p)  # what an earlier step left behind

    def forward(module, args, out):
        number = len(forwards)
        forwards.append(number)
        now = {**holding, number: len(out)}
        most[:] = max(most, [sum(now.values()), len(now)])
        if out.requires_grad:
            holding[number] = len(out)
            out.register_hook(lambda grad: holding.pop(number, None) and None)
            node = out.grad_fn.metadata["held"] = _Held()  # goes when the graph goes
            weakref.finalize(node, holding.pop, number, None)

    net.register_forward_hook(forward)
    loss = answer(net, image, target, size)
    if loss is None and stub(answer):
        raise NotImplementedError
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in net.parameters()]
    moved = not np.array_equal(_flat(net.parameters()), before)
    return loss, _flat(grads), moved, *most


def _parts(net, image, target, size, share, zero="first", mean="mean", drop=False):
    """Gradient accumulation; the arguments after `size` make it right or one of the mistakes.

    share(part, target, size) is what a part's loss is multiplied with.
    """
    values = []
    stop = len(image) // size * size if drop and len(image) >= size else len(image)
    for start in range(0, stop, size):
        if zero == "each" or zero == "first" and start == 0:
            net.zero_grad()
        part = target[start:start + size]
        value = F.cross_entropy(net(image[start:start + size]), part, ignore_index=VOID,
                                reduction=mean) * share(part, target, size)
        value.backward()
        values.append(value.item())
    return sum(values)


def _known(target):
    return (target != VOID).sum().item()


def _right_share(part, target, size):
    return 1 / _known(target)


_accumulate = partial(_parts, share=_right_share, mean="sum")
_GRADIENTS = {
    "mean_of_means": (
        "Each part's mean counts the same. A part with little known then pulls as hard as one "
        "that is full of it: the mean over all known pixels is another number.",
        partial(_parts, share=lambda part, target, size: 1 / -(-len(target) // size))),
    "means_added": (
        "The means of the parts are added up, so with four parts the gradient is about four times "
        "too long. The parts have to make one mean together.",
        partial(_parts, share=lambda part, target, size: 1)),
    "by_pictures": (
        "Each part counts by its number of pictures. The mean runs over known pixels, and pictures "
        "hold different numbers of them.",
        partial(_parts, share=lambda part, target, size: len(part) / len(target))),
    "void_counted": (
        "You divide by all pixels, void ones too. `cross_entropy` with ignore_index divides by "
        "the known ones alone.",
        partial(_parts, share=lambda part, target, size: 1 / target.numel(), mean="sum")),
    "not_divided": (
        "This is the gradient of the sum over the pixels; the mean's is asked for. With a sum the "
        "step grows with the number of pixels.",
        partial(_parts, share=lambda part, target, size: 1, mean="sum")),
    "old_gradient": (
        "What the step before left in .grad is still in there: backward() adds to it. Who clears "
        "it, and when?",
        partial(_accumulate, zero="never")),
    "last_part": (
        "Only the gradient of the last part is left: those before it were cleared. Clear once, "
        "before the first part.",
        partial(_accumulate, zero="each")),
    "last_dropped": (
        "The batch does not divide evenly, and its last pictures are left out. A part may be "
        "smaller than `size`.",
        partial(_accumulate, drop=True)),
}
_ACCUMULATE_HINTS = {
    "void_part":
        "A part can be all void, and the mean over nothing is NaN; multiplied by 0 it stays NaN. A "
        "sum over nothing is 0: which of the two can you add up safely?",
    "all_at_once":
        "More than `size` pictures go through the net at once. The gradient is right, but the "
        "memory that should be saved is not: that was the reason for parts.",
    "one_backward":
        "The parts go forward one by one, but there is one way back for all of them at the end. "
        "Until then every part's activations stay in memory: go back after each part.",
    "stepped":
        "The gradient is right, but the weights have moved: the optimizer's step is not asked for. "
        "Whoever calls you takes it.",
    "no_gradient": "No gradient of yours is in the net's .grad: is there a backward()?",
    "loss":
        "The gradient is right, and the number that comes back is not: it should be the loss of "
        "the whole batch, the mean over all its known pixels.",
    "gradient": "The gradient is not that of the whole batch yet.",
}


def _accumulated(calls):
    """What is wrong with the gradients, if anything; a wrong one is named where it is known."""
    wanted = [_watched(_accumulate, *args)[:2] for args, _ in calls]
    wrong = [(args, got) for (args, got), want in zip(calls, wanted, strict=True)
             if not _same(got[1], want[1])]
    if wrong:
        key = _wrong_gradient(wrong)
        return Problem(key, _GRADIENTS[key][0] if key in _GRADIENTS else _ACCUMULATE_HINTS[key])
    for (args, got), want in zip(calls, wanted, strict=True):
        if got[3] > args[3]:
            key = "all_at_once" if got[4] == 1 else "one_backward"
            return Problem(key, _ACCUMULATE_HINTS[key])
        if got[2]:
            return Problem("stepped", _ACCUMULATE_HINTS["stepped"])
        if not _same(got[0], want[0]):
            key = "void_part" if np.isnan(got[0]) else "loss"
            return Problem(key, _ACCUMULATE_HINTS[key])
    return None


def _wrong_gradient(wrong):
    """The key of the known mistake that explains most of the wrong gradients."""
    if all((got[1] == 1).all() or not got[1].any() for _, got in wrong):
        return "no_gradient"
    if all(np.isnan(got[1]).any() for _, got in wrong):
        return "void_part"
    found = {key: sum(_same(got[1], _watched(way, *args)[1]) for args, got in wrong)
             for key, (_, way) in _GRADIENTS.items()}
    best = max(found, key=found.get)
    return best if found[best] else "gradient"


ACCUMULATE = Exercise(
    name="ex05.accumulate",
    title="A large batch in small parts, with void",
    aim="get the gradient of a large batch from small parts, also where void is uneven",
    level="core",
    points=3,
    minutes=15,
    cases=_accumulate_cases,
    examine=_accumulated,
    call=_watched,
    hints=(
        "The loss of the whole batch is a sum over its known pixels, divided by their number. A "
        "sum can be taken in parts; the number can be had before the first of them.",
    ),
    target=lambda: (
        "Two parts, with losses 1, 2, 3 at three known pixels and 6 at a single one: the batch's "
        "loss is 12 / 4 = 3, and its gradient that of 3. The mean of the two means would be 4.",
        None,
    ),
)


# ---- evaluate --------------------------------------------------------------------------------


def popular_evaluate(net, batches, classes):
    """An evaluation with what is wrong with it: the subject of ex05.evaluate."""
    scores = []
    for image, target in batches:
        pred = net(image).argmax(dim=1)
        for c in range(classes):
            p, t = pred == c, target == c
            if (p | t).any():
                scores.append((p & t).sum() / (p | t).sum())
    return torch.stack(scores).mean()


def _net(seed, classes=3):
    """A network with batch norm and dropout, whose running statistics fit no batch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
                            nn.Dropout(0.5), nn.Conv2d(8, classes, 1))
        net[1].running_mean.normal_(0, 0.7)
        net[1].running_var.uniform_(0.2, 3)
    return net


def _batches(net, rng, classes, sizes=(4, 4, 1)):
    """Batches whose targets are the net's own predictions, with errors and void."""
    made = []
    for size in sizes:
        image = torch.from_numpy(rng.normal(0, 1, (size, 3, 6, 7)).astype(np.float32))
        with torch.no_grad():
            target = copy.deepcopy(net).eval()(image).argmax(1).numpy()
        wrong = rng.random(target.shape) < rng.uniform(0.1, 0.7, (size, 1, 1))
        target = np.where(wrong, rng.integers(0, classes, target.shape), target)
        target[rng.random(target.shape) < 0.2] = VOID
        made.append((image, torch.from_numpy(target)))
    return made


def _evaluate_cases(rng):
    cases = []
    for mode in ("training", "evaluation", "training", "evaluation"):
        net = _net(int(rng.integers(2**31))).train(mode == "training")
        label = f"a network in {mode} mode"
        cases.append(Case(label, (net, _batches(net, rng, 3), 3)))
    net = _net(int(rng.integers(2**31)), 4)
    net[-1].bias.data[3] = -1e4  # a class that is predicted nowhere, and true nowhere
    return [*cases, Case("a class that occurs nowhere", (net, _batches(net, rng, 3), 4))]


def _evaluated(answer, net, batches, classes):
    """What an evaluation gives, and what it does to the network on the way.

    (score, is in training mode after it, its state changed, kinds of layers that were in training
    mode, whether gradients were prepared for, whether some weights want none any more)
    """
    trained, graph = set(), []

    def watch(module, args, out):
        graph.append(out.requires_grad)
        if module.training:
            trained.add(type(module).__name__)

    for module in net.modules():
        module.register_forward_hook(watch)
    before = copy.deepcopy(net.state_dict())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        score = answer(net, batches, classes)
    if score is None and stub(answer):
        raise NotImplementedError
    after = net.state_dict()
    changed = any(not torch.equal(before[name], after[name]) for name in before)
    frozen = not all(p.requires_grad for p in net.parameters())
    return score, net.training, changed, sorted(trained), any(graph), frozen


def _predictions(net, batches):
    """[(pred, target), …] as arrays, from a copy in evaluation mode."""
    net = copy.deepcopy(net).eval()
    with torch.no_grad():
        return [(net(x).argmax(1).numpy(), y.numpy()) for x, y in batches]


def _counts(pairs, classes):
    """Pixels of each class that are shared, and that the two cover together."""
    matrix = sum(metrics.confusion_matrix(p, t, classes) for p, t in pairs).numpy().astype(float)
    return matrix.diagonal(), matrix.sum(0) + matrix.sum(1) - matrix.diagonal()


def _iou(pairs, classes):
    """IoU of each class over some pairs, NaN where it is absent."""
    both, union = _counts(pairs, classes)
    return np.divide(both, union, out=np.full(classes, np.nan), where=union > 0)


def _score(pairs, classes):
    return float(np.nanmean(_iou(pairs, classes)))


def _by_batch(pairs, classes):
    return np.mean([_score([pair], classes) for pair in pairs])


def _by_batch_size(pairs, classes):
    weights = [len(t) for _, t in pairs]
    return np.average([_score([pair], classes) for pair in pairs], weights=weights)


def _by_picture(pairs, classes):
    return _by_batch([pair for pairs_of in pairs for pair in zip(*pairs_of, strict=True)], classes)


def _all_scores(pairs, classes):
    return np.nanmean([_iou([pair], classes) for pair in pairs])


def _void_zero(pairs, classes):
    return _score([(p, np.where(t == VOID, 0, t)) for p, t in pairs], classes)


def _joined(pairs):
    """All predictions and all targets, flat."""
    return tuple(np.concatenate([part.ravel() for part in side])
                 for side in zip(*pairs, strict=True))


def _void_wrong(pairs, classes):
    """What is predicted in void counts as predicted."""
    return _popular([_joined(pairs)], classes)


def _absent_zero(pairs, classes):
    return np.nan_to_num(_iou(pairs, classes)).mean()


def _absent_one(pairs, classes):
    return np.nan_to_num(_iou(pairs, classes), nan=1.0).mean()


def _together(pairs, classes):
    both, union = _counts(pairs, classes)
    return both.sum() / union.sum()


def _mean_dice(pairs, classes):
    iou = _iou(pairs, classes)
    return np.nanmean(2 * iou / (1 + iou))


def _accuracy(pairs, classes):
    pred, target = _joined(pairs)
    return (pred == target)[target != VOID].mean()


def _popular(pairs, classes):
    """The score of `popular_evaluate`."""
    planes = [(p == c, t == c) for p, t in pairs for c in range(classes)]
    return np.mean([(p & t).sum() / (p | t).sum() for p, t in planes if (p | t).any()])


_SCORES = {
    "popular": (
        "The network is treated well now, and the score is still that of the function above. Over "
        "what does it divide, how often, and where do void pixels go?",
        _popular),
    "by_batch": (
        "You score each batch and average the scores. The last batch is small and counts like the "
        "others, and another batch size gives another score: count over all batches, divide once.",
        _by_batch),
    "by_batch_size": (
        "You average the batches' scores by their size. It still depends on how the pictures were "
        "put into batches: count over all of them, divide once.",
        _by_batch_size),
    "by_picture": (
        "You score each picture by itself. The data set's mIoU is asked for: count over all "
        "pictures, divide once.",
        _by_picture),
    "all_scores": (
        "All scores of all batches go into one mean. Count over all batches, divide once for each "
        "class, then take the mean over the classes.",
        _all_scores),
    "void_is_background": (
        "Void pixels are counted as true background. Nobody knows what they are: leave them out.",
        _void_zero),
    "said_in_void": (
        "What is predicted in void still counts as predicted pixels. Void pixels count nowhere: "
        "take them out of both masks.",
        _void_wrong),
    "absent_is_zero": (
        "A class that is true nowhere and predicted nowhere gets 0. It has no score: leave it out "
        "of the mean.",
        _absent_zero),
    "absent_is_one": (
        "A class that is true nowhere and predicted nowhere gets 1: is a small number added above "
        "and below the line? It has no score: leave it out of the mean.",
        _absent_one),
    "all_classes_together": (
        "The classes' counts are added up before you divide, so the largest class decides. One IoU "
        "for each class is asked for, and their mean.",
        _together),
    "dice": (
        "This is the mean Dice, in which the shared pixels count twice. IoU divides what is shared "
        "by what both cover together.",
        _mean_dice),
    "accuracy": (
        "This is the pixel accuracy. The mean over the classes of their IoU is asked for.",
        _accuracy),
}
_EVALUATE_HINTS = {
    "train_mode":
        "Batch norm is still training. It normalises each picture by the batch around it, and it "
        "learns the validation set's mean and variance on the way: the weights you score are not "
        "those you will ship. Which mode is for looking?",
    "dropout_on":
        "Batch norm is at rest, but dropout still leaves units out at random: two evaluations "
        "give two scores. It has a training mode too.",
    "left_in_eval":
        "It leaves the network in evaluation mode. If training goes on after it, batch norm and "
        "dropout stay switched off, and no error says so. Leave it as you found it.",
    "left_in_train":
        "It leaves the network in training mode, although it came in evaluation mode. Who "
        "evaluates twice gets two scores: leave it as you found it.",
    "graph":
        "The score is right, but every forward pass prepares for a backward that never comes, and "
        "keeps its activations in memory for it. There is a context that spares you that.",
    "left_frozen":
        "It leaves weights that want no gradient any more (requires_grad), so that no training "
        "moves them after it. Leave the network as you found it.",
    "not_one":
        "The network is treated well, but one number is needed: the mean over the classes.",
    "absent_is_nan":
        "The score is NaN where a class is true nowhere and predicted nowhere: 0 / 0. Such a class "
        "has no score: leave it out of the mean.",
    "score": "The network is treated well, but the score is not the data set's mIoU yet.",
}


def _evaluations(calls):
    """What is wrong with the evaluations, most grave first; None if nothing is."""
    kinds = {kind for _, got in calls for kind in got[3]}
    if "BatchNorm2d" in kinds or any(got[2] for _, got in calls):
        return Problem("train_mode", _EVALUATE_HINTS["train_mode"])
    if "Dropout" in kinds:
        return Problem("dropout_on", _EVALUATE_HINTS["dropout_on"])
    key = _wrong_score(calls)
    if key:
        return Problem(key, _SCORES[key][0] if key in _SCORES else _EVALUATE_HINTS[key])
    for args, got in calls:
        if got[1] != args[0].training:
            key = "left_in_train" if got[1] else "left_in_eval"
            return Problem(key, _EVALUATE_HINTS[key])
    key = next((key for key, place in (("graph", 4), ("left_frozen", 5))
                if any(got[place] for _, got in calls)), "")
    return Problem(key, _EVALUATE_HINTS[key]) if key else None


def _wrong_score(calls):
    """The key of the mistake that explains most of the wrong scores; "" if all are right."""
    seen = [(_predictions(*args[:2]), args[2], got[0]) for args, got in calls]
    wrong = [(pairs, c, got) for pairs, c, got in seen if not _close(got, _score(pairs, c))]
    if not wrong:
        return ""
    if any(np.size(got) != 1 for *_, got in wrong):
        return "not_one"
    if all(np.isnan(got) for *_, got in wrong):
        return "absent_is_nan"
    found = {key: sum(_close(got, way(pairs, c)) for pairs, c, got in wrong)
             for key, (_, way) in _SCORES.items()}
    best = max(found, key=found.get)
    return best if found[best] else "score"


def _close(got, expected):
    """Equal within what single precision leaves of a mean of a few quotients."""
    return np.size(got) == 1 and abs(float(np.asarray(got).item()) - expected) < 1e-5


EVALUATE = Exercise(
    name="ex05.evaluate",
    title="Mend an evaluation that changes what it measures",
    aim="write an evaluation that measures a network without changing anything",
    level="core",
    points=3,
    minutes=15,
    cases=_evaluate_cases,
    examine=_evaluations,
    call=_evaluated,
    hints=(
        "Four things are wrong with it: the network's mode, what is kept for a backward that never "
        "comes, over what it divides, and void. And whoever sets a mode has to set it back.",
        "`net.training` says which mode it is in; `net.train(mode)` takes True or False.",
    ),
    target=lambda: (
        "The same score from a network that comes in training or in evaluation mode, with "
        "batches of 1 or of 9; and every tensor of its state_dict() as before.", None,
    ),
)


# ---- curves ----------------------------------------------------------------------------------

DIAGNOSES = ("healthy", "over-fitting", "rate too high", "rate too low", "validation broken",
             "schedule ended")
_TRUTH = {"A": "rate too low", "B": "validation broken", "C": "healthy", "D": "over-fitting",
          "E": "rate too high", "F": "healthy", "G": "schedule ended"}


def _rectangles(n, rng):
    """Noisy pictures (n, 1, 12, 12) of one bright rectangle each, and where it is (n, 12, 12)."""
    image, target = rng.normal(0, 1, (n, 1, 12, 12)), np.zeros((n, 12, 12))
    for k in range(n):
        height, width = rng.integers(5, 10, 2)
        top, left = rng.integers(0, 13 - height), rng.integers(0, 13 - width)
        target[k, top:top + height, left:left + width] = 1
    image[:, 0] += target
    return torch.from_numpy(image).float(), torch.from_numpy(target).float()


def _history(n=64, width=8, rate=4e-3, extra=0.0, pairs=0, ends=None, epochs=30):
    """Train a small network on rectangles for real; the arguments make it sick.

    n: pictures; extra: noise that augmentation adds; pairs: places by which the validation masks
    are moved among their pictures; ends: the epoch at which a falling rate reaches 0.
    """
    rng, rows = np.random.default_rng(0), []
    torch.manual_seed(0)
    image, target = _rectangles(n, rng)
    val_image, val_target = _rectangles(64, rng)
    val_target = val_target.roll(pairs, 0)
    layers = [nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(0.1),
              nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.1)]
    net = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1), nn.Flatten(1, 2))
    optimizer = torch.optim.Adam(net.parameters(), rate)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = rate * (max(0, 1 - epoch / ends) if ends else 1)
        losses = []
        for batch in torch.randperm(n).split(max(1, n // 8)):
            noisy = image[batch] + extra * torch.randn_like(image[batch])
            loss = F.binary_cross_entropy_with_logits(net(noisy), target[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            logits = net(val_image)
        val_loss = F.binary_cross_entropy_with_logits(logits, val_target).item()
        said, true = logits > 0, val_target == 1
        rows.append((np.mean(losses), val_loss, ((said & true).sum() / (said | true).sum()).item()))
    names = ("train_loss", "val_loss", "val_iou")
    return dict(zip(names, np.array(rows).T, strict=True))


def histories() -> dict:
    """Seven real runs, "A" to "G": {letter: {"train_loss", "val_loss", "val_iou": (30,) floats}}.

    Small networks on small pictures, trained as you call this (about two seconds). The losses are
    the mean over an epoch's steps, and over the validation pictures after it.
    """
    kinds = [dict(rate=1e-4), dict(pairs=1), dict(extra=1.0), dict(n=8, width=16, rate=1e-2),
             dict(rate=0.7), dict(), dict(rate=2e-3, ends=6)]
    with torch.random.fork_rng(devices=[]):
        return {name: _history(**kind) for name, kind in zip("ABCDEFG", kinds, strict=True)}


_CURVES_HINTS = {
    "A": "A learns, without a jump and without a gap, and is not done after 30 epochs. How long "
         "would it take at this pace?",
    "B": "In B the training loss falls as it does in a good run, and the validation IoU hardly "
         "ever moves, from the first epoch on. Can a network that learns be no better than "
         "guessing on pictures of the same kind?",
    "C": "In C both losses fall and the IoU rises to its level. Is it odd that the training loss "
         "is the higher one? What is done to a training picture that a validation picture is "
         "spared?",
    "D": "In D follow the two losses: they come down together, and then?",
    "E": "Compare E's first epochs with those of the others, and its last ones with a smooth line.",
    "F": "In F both losses fall and stay close to each other. A small gap is no illness.",
    "G": "Look at G's curves after the sixth epoch: do they move at all, even by the noise that "
         "every other run has?",
}
_CURVES_MIXED = {
    ("B", "over-fitting"):
        "B looks like over-fitting, but over-fitting comes later: at first both losses fall. Here "
        "validation is bad from the first epoch on.",
    ("C", "over-fitting"):
        "Over-fitting is a validation loss above the training loss that grows. In C it is below.",
    ("D", "healthy"):
        "D's training loss nears 0, and its IoU hardly suffers. But what does the validation loss "
        "do meanwhile?",
    ("E", "over-fitting"):
        "In E both losses are high and jump, that of training as well. What is learned by heart "
        "would give a low one.",
    ("G", "rate too low"):
        "G falls quickly at first, so its rate was high enough. Then it stops from one epoch to "
        "the next, and not even noise is left.",
    ("A", "schedule ended"):
        "A is slow, but it still falls at the end: something is still moving the weights.",
    ("G", "healthy"):
        "G is calm, too calm: after the sixth epoch nothing changes at all, and its losses are "
        "well above those of F.",
}


def _diagnosed(calls):
    """What is wrong with a dict of diagnoses; None if nothing is."""
    answer = calls[0][1]
    if not isinstance(answer, dict):
        return Problem("type", 'A dict is needed: {"A": "healthy", …}.')
    said = {str(k).strip().upper(): str(v).strip().lower() for k, v in answer.items()}
    if set(said) != set(_TRUTH):
        return Problem("letters", "One diagnosis for each of the runs A to G is needed.")
    unknown = sorted(set(said.values()) - set(DIAGNOSES))
    if unknown:
        return Problem("words", f"{unknown[0]!r} is none of the diagnoses: {list(DIAGNOSES)}.")
    if len(set(said.values())) == 1:
        return Problem("all_alike", "Not all seven have the same: compare them with one another.")
    for letter, true in _TRUTH.items():
        if (letter, said[letter]) in _CURVES_MIXED:
            key = f"{letter}_{said[letter].replace(' ', '_')}"
            return Problem(key, _CURVES_MIXED[letter, said[letter]])
        if said[letter] != true:
            return Problem(f"look_{letter}", _CURVES_HINTS[letter])
    return None


CURVES = Exercise(
    name="ex05.curves",
    title="Read the curves",
    aim="diagnose a training run by its curves",
    level="core",
    points=3,
    minutes=12,
    cases=one_case,
    examine=_diagnosed,
    call=itself,
    value=True,
    hints=(
        "Of each run ask, in this order: does the training loss fall, and how? Does the validation "
        "loss follow it? From which epoch on does it not?",
    ),
    target=lambda: ("Two of the seven are healthy. Each other diagnosis comes once.", None),
)


# ---- ship ------------------------------------------------------------------------------------


def scores(rng, recipes=3, seeds=3, epochs=12):
    """Made-up scores of some runs: val and test mIoU, two (recipes, seeds, epochs) arrays.

    Rounded to two digits, as people write them down. Validation is NaN where it was left out or
    where the run had diverged.
    """
    level = 0.7 + rng.uniform(0, 0.03, (recipes, 1, 1)) + rng.normal(0, 0.02, (recipes, seeds, 1))
    curve = level * (1 - np.exp(-np.arange(1, epochs + 1) / 2.5))
    val = (curve + rng.normal(0, 0.015, curve.shape)).round(2)
    test = (curve - 0.02 + rng.normal(0, 0.025, curve.shape)).round(2)
    val[:, :, 0] = np.nan
    val[rng.random(val.shape) < 0.15] = np.nan
    val[0, 0, -2:] = np.nan
    val[:, :, epochs // 2] = np.nan_to_num(val[:, :, epochs // 2], nan=0.6)  # one score at least
    return val, test


def _ship_cases(rng):
    shapes = [(3, 3, 12), (2, 3, 10), (2, 4, 15), (4, 3, 12), (3, 2, 9), (2, 5, 12), (5, 3, 20),
              (3, 3, 16)]
    cases = []
    for recipes, seeds, epochs in shapes * 2:
        val, test = scores(rng, recipes, seeds, epochs)
        while _tie(val):
            val, test = scores(rng, recipes, seeds, epochs)
        cases.append(Case(f"{recipes} recipes, {seeds} seeds, {epochs} epochs", (val, test)))
    return cases


def _tie(val):
    """Whether two recipes are the best: then the last bit of a mean would choose."""
    last, first = np.sort(np.nanmax(val, axis=2).mean(axis=1))[-2:]
    return first - last < 1e-9


def _first(val):
    return np.nanargmax(val, axis=2)


def _at(values, epochs):
    """(R, S, E) and (R, S) epochs -> (R, S) values there."""
    return np.take_along_axis(values, epochs[:, :, None], 2)[:, :, 0]


def _choose(val, test, epochs=lambda val, test: _first(val), judge=None, report=None, ddof=1):
    """Choose epochs, then a recipe, then report; the keyword arguments make the mistakes."""
    at = epochs(val, test)
    marks = judge(val, test, at) if judge else _at(val, at).mean(axis=1)
    recipe = int(np.argmax(marks))
    found = (report(val, test, at) if report else _at(test, at))[recipe]
    return recipe, float(found.mean()), float(found.std(ddof=ddof))


def _last_of_equals(val, test):
    return val.shape[2] - 1 - np.nanargmax(val[:, :, ::-1], axis=2)


def _shifted(val, test):
    """Epochs counted among those that were validated."""
    runs = [[int(np.argmax(run[~np.isnan(run)])) for run in recipe] for recipe in val]
    return np.array(runs)


def _shifted_val(val, test, at):
    return np.nanmax(val, axis=2).mean(axis=1)


def _one_epoch(val, test):
    """The same epoch for all seeds of a recipe: that of the best mean curve."""
    filled = np.where(np.isnan(val), -1, val)
    return np.repeat(filled.mean(axis=1).argmax(axis=1)[:, None], val.shape[1], axis=1)


def _one_epoch_for_all(val, test):
    """The best epoch of each recipe's mean curve, over the seeds that were validated."""
    curves = np.array([[run[~np.isnan(run)].mean() if not np.isnan(run).all() else -1
                        for run in recipe.T] for recipe in val])
    recipe = int(curves.max(axis=1).argmax())
    found = test[recipe, :, curves[recipe].argmax()]
    return recipe, float(found.mean()), float(found.std(ddof=1))


SHIP = Exercise(
    name="ex05.ship",
    title="Which recipe to ship, and what it is worth",
    aim="choose among recipes and epochs, and state a score that no choice has flattered",
    level="stretch",
    points=3,
    minutes=20,
    cases=_ship_cases,
    oracle=_choose,
    mistakes=(
        Mistake(
            "test_chose_epochs",
            "The checkpoints were chosen by the test score. Then each run reports its luckiest "
            "epoch on the test set, and the number is no promise any more. Choose by validation.",
            like=partial(_choose, epochs=lambda val, test: test.argmax(axis=2),
                         judge=lambda val, test, at: _at(test, at).mean(axis=1)),
        ),
        Mistake(
            "test_chose_recipe",
            "The checkpoints were chosen by validation, but the recipe by its test score. That is "
            "a choice too: it belongs to validation, and the test set only says what it is worth.",
            like=partial(_choose, judge=lambda val, test, at: _at(test, at).mean(axis=1)),
        ),
        Mistake(
            "test_best_epoch",
            "The recipe is chosen by validation, and then each of its runs reports the best test "
            "score it ever had. Report the test score of the checkpoint that validation chose.",
            like=partial(_choose, report=lambda val, test, at: test.max(axis=2)),
        ),
        Mistake(
            "best_seed",
            "The recipe with the best single run was chosen. A seed is luck, and the next one will "
            "be another: compare the recipes by the mean over their seeds.",
            like=partial(_choose, judge=lambda val, test, at: _at(val, at).max(axis=1)),
        ),
        Mistake(
            "last_epoch",
            "The last epoch of each run was taken. It need not be the best, and in some runs it "
            "was not even validated.",
            like=partial(_choose, epochs=lambda val, test: np.full(val.shape[:2],
                                                                   val.shape[2] - 1)),
        ),
        Mistake(
            "nan_wins",
            "argmax takes the first NaN that it meets for the largest. An epoch without a "
            "validation score can not be chosen.",
            like=partial(_choose, epochs=lambda val, test: val.argmax(axis=2)),
        ),
        Mistake(
            "shifted",
            "The epochs without a score were taken out before you looked for the best, and then "
            "you counted into the test scores with its new number. Keep the old numbers.",
            like=partial(_choose, epochs=_shifted, judge=_shifted_val),
        ),
        Mistake(
            "last_of_equals",
            "Of epochs that score the same you take the last; the first is asked for. Scores that "
            "are rounded tie more often than one thinks.",
            like=partial(_choose, epochs=_last_of_equals),
        ),
        Mistake(
            "reports_val",
            "The choice is right, but what you report are the validation scores that made it: the "
            "best of many tries. Report the same checkpoints on the test set.",
            like=partial(_choose, report=lambda val, test, at: _at(val, at)),
        ),
        Mistake(
            "one_epoch",
            "You averaged the curves of a recipe's seeds, and gave all of them the same epoch. "
            "Each run has a best checkpoint of its own.",
            like=partial(_choose, epochs=_one_epoch,
                         judge=lambda val, test, at: np.nan_to_num(_at(val, at)).mean(axis=1)),
        ),
        Mistake(
            "one_epoch_for_all",
            "You averaged the curves of a recipe's seeds, and gave all of them the same epoch. "
            "Each run has a best checkpoint of its own.",
            like=_one_epoch_for_all,
        ),
        Mistake(
            "all_epochs",
            "The recipe was chosen by the mean over all its epochs, the first ones too. What is "
            "shipped is the best epoch of each run: compare the recipes by those alone.",
            like=partial(_choose, judge=lambda val, test, at: np.nanmean(val, axis=(1, 2))),
        ),
        Mistake(
            "from_one",
            "You count the recipes from 1. The number of a recipe is its place in the arrays, and "
            "places begin with 0.",
            like=lambda val, test: (_choose(val, test)[0] + 1, *_choose(val, test)[1:]),
        ),
        Mistake(
            "standard_error",
            "The spread is divided by the root of the number of seeds: that says how sure the mean "
            "is. Asked for is how much the runs differ, their sample standard deviation.",
            like=lambda val, test: (*_choose(val, test)[:2],
                                    _choose(val, test)[2] / np.sqrt(val.shape[1])),
        ),
        Mistake(
            "spread_of_all",
            "The mean is right, and the spread is a little small: a few seeds stand for all that "
            "there could be, so divide by their number less one.",
            like=partial(_choose, ddof=0),
        ),
    ),
    hints=(
        "Three questions in this order: which epoch of each run (validation), which recipe (mean "
        "validation score of those epochs), what is it worth (test scores of the same epochs).",
    ),
    target=lambda: (
        "One recipe, two seeds, validation [[nan, 0.6, 0.7, 0.7], [nan, 0.5, nan, 0.4]] and test "
        "[[0.5, 0.6, 0.62, 0.7], [0.3, 0.48, 0.6, 0.6]]: recipe 0, mean 0.55, spread 0.099.",
        None,
    ),
)

EXERCISES = (RANGE_TEST, RESUME, ACCUMULATE, EVALUATE, CURVES, SHIP)
