"""Answers to the exercises of lesson 05, as people write them: stub, wrong ones, valid ones."""

import copy
import io
import statistics
import warnings

import numpy as np
import torch
from torch.nn import functional as F

from segutils.exercises.ex05 import popular_evaluate
from segutils.metrics import ConfusionMatrix

# ---- range_test ------------------------------------------------------------------------------


def range_stub(rates, losses):
    """The rate of the steepest fall."""
    smooth = ...
    return smooth


def _until_bad(losses):
    bad = np.flatnonzero(~np.isfinite(losses))
    return losses[: bad[0]] if len(bad) else losses


def _means(losses):
    return np.array([losses[k:k + 5].mean() for k in range(len(losses) - 4)])


def range_minimum(rates, losses):
    return rates[2 + np.argmin(_means(_until_bad(losses)))]


def range_raw_minimum(rates, losses):
    return rates[np.nanargmin(losses)]


def range_nan(rates, losses):
    smooth = _means(losses)
    falls = np.diff(smooth)[: np.argmin(smooth)]
    return rates[2 + np.argmin(falls)]


def range_unsmoothed(rates, losses):
    losses = _until_bad(losses)
    return rates[np.argmin(np.diff(losses[: np.argmin(losses) + 1]))]


def range_no_offset(rates, losses):
    smooth = _means(_until_bad(losses))
    return rates[np.argmin(np.diff(smooth[: smooth.argmin() + 1]))]


def range_late(rates, losses):
    smooth = _means(_until_bad(losses))
    return rates[3 + np.argmin(np.diff(smooth[: smooth.argmin() + 1]))]


def range_linear(rates, losses):
    smooth = _means(_until_bad(losses))
    slopes = np.diff(smooth) / np.diff(rates[2:2 + len(smooth)])
    return rates[2 + np.argmin(slopes[: smooth.argmin()])]


def range_gradient(rates, losses):
    smooth = _means(_until_bad(losses))
    return rates[2 + np.argmin(np.gradient(smooth)[: smooth.argmin()])]


def range_everywhere(rates, losses):
    return rates[2 + np.argmin(np.diff(_means(_until_bad(losses))))]


def range_upwards(rates, losses):
    smooth = _means(_until_bad(losses))
    return rates[2 + np.argmax(np.diff(smooth[: smooth.argmin() + 1]))]


def range_tenth(rates, losses):
    return range_minimum(rates, losses) / 10


def range_same(rates, losses):
    smooth = np.convolve(_until_bad(losses), np.ones(5) / 5, mode="same")
    falls = np.diff(smooth)
    falls[smooth.argmin():] = 0
    return rates[falls.argmin()]


def range_same_empty(rates, losses):
    smooth = np.convolve(_until_bad(losses), np.ones(5) / 5, mode="same")
    return rates[np.argmin(np.diff(smooth[: smooth.argmin() + 1]))]


def range_filtered(rates, losses):
    known = np.isfinite(losses)
    return range_right(rates[known], losses[known])


def range_zeros(rates, losses):
    return range_right(rates, np.nan_to_num(losses))


def range_trailing(rates, losses):
    """The mean of the last five, as a running mean has it."""
    return rates[np.flatnonzero(rates == range_right(rates, losses))[0] + 2]


def range_place(rates, losses):
    return int(np.flatnonzero(rates == range_right(rates, losses))[0])


def range_relative(rates, losses):
    smooth = _means(_until_bad(losses))
    return rates[2 + np.argmin((np.diff(smooth) / smooth[:-1])[: smooth.argmin()])]


def range_right(rates, losses):
    smooth = _means(_until_bad(losses))
    return rates[2 + np.argmin(np.diff(smooth[: smooth.argmin() + 1]))]


def range_loop(rates, losses):
    kept = []
    for loss in losses:
        if not np.isfinite(loss):
            break
        kept.append(float(loss))
    smooth = [statistics.fmean(kept[k - 2:k + 3]) for k in range(2, len(kept) - 2)]
    lowest = smooth.index(min(smooth))
    falls = [smooth[k] - smooth[k + 1] for k in range(lowest)]
    return rates[falls.index(max(falls)) + 2]


def range_logarithms(rates, losses):
    losses = torch.as_tensor(_until_bad(losses))
    smooth = F.avg_pool1d(losses[None], 5, stride=1)[0]
    slopes = smooth.diff() / torch.as_tensor(rates).log()[2:2 + len(smooth)].diff()
    return rates[2 + slopes[: smooth.argmin()].argmin()]


# ---- resume ----------------------------------------------------------------------------------


def save_stub(run):
    """All that the rest of the run depends on."""
    ...  # noqa: PIE790


def load_stub(run, state):
    """Become the run that was saved."""
    ...  # noqa: PIE790


def save_right(run):
    return copy.deepcopy({
        "net": run.net.state_dict(), "optimizer": run.optimizer.state_dict(),
        "scheduler": run.scheduler.state_dict(), "rng": run.rng.bit_generator.state,
        "torch": torch.get_rng_state(), "order": run.order, "step": run.step,
        "best": run.best, "best_loss": run.best_loss,
    })


def load_right(run, state):
    run.net.load_state_dict(state["net"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.scheduler.load_state_dict(state["scheduler"])
    run.rng.bit_generator.state = state["rng"]
    torch.set_rng_state(state["torch"])
    run.order, run.step = state["order"], state["step"]
    run.best, run.best_loss = state["best"], state["best_loss"]


def _load_without(*names):
    """A load that leaves out some parts: they stay those of the fresh run."""

    def load(run, state):
        load_right(run, {**save_right(run), **{k: v for k, v in state.items() if k not in names}})

    return load


def save_live(run):
    return {**save_right(run), "net": run.net.state_dict()}


def save_live_moments(run):
    return {**save_right(run), "optimizer": run.optimizer.state_dict()}


def save_live_order(run):
    return {**save_right(run), "order": run.order}


def save_last_as_best(run):
    return {**save_right(run), "best": copy.deepcopy(run.net.state_dict())}


def load_parameters_only(run, state):
    fresh = copy.deepcopy(dict(run.net.named_buffers()))
    load_right(run, state)
    for name, buffer in run.net.named_buffers():
        buffer.copy_(fresh[name])


def save_vars(run):
    return vars(run), torch.get_rng_state()


def load_vars(run, state):
    run.__dict__.update(state[0])
    torch.set_rng_state(state[1])


def load_into_another(run, state):
    another = copy.deepcopy(run)
    load_right(another, state)
    return another


def load_dicts(run, state):
    run.net, run.optimizer, run.scheduler = (state[k] for k in ("net", "optimizer", "scheduler"))


def load_other_net(run, state):
    load_right(run, state)
    run.net = torch.nn.Sequential(*[m for m in run.net if not isinstance(m, torch.nn.ReLU)][1:])


def save_that_shuffles(run):
    run.rng.permutation(24)
    return save_right(run)


def save_whole(run):
    return copy.deepcopy(run), torch.get_rng_state()


def load_whole(run, state):
    run.__dict__.update(copy.deepcopy(state[0].__dict__))
    torch.set_rng_state(state[1])


def save_net(run):
    return {**save_right(run), "net": copy.deepcopy(run.net)}


def load_net(run, state):
    """The optimizer keeps the weights of the net that was there."""
    state = {**state, "net": state["net"].state_dict(), "object": state["net"]}
    load_right(run, state)
    run.net = state["object"]


def load_new_optimizer(run, state):
    """The scheduler goes on turning the old optimizer's rate."""
    run.optimizer = torch.optim.AdamW(run.net.parameters(), lr=0.02)
    load_right(run, state)


def load_nothing(run, state):
    run.loaded = True


def save_bytes(run):
    file = io.BytesIO()
    torch.save(save_right(run), file)
    return file.getvalue()


def load_bytes(run, state):
    load_right(run, torch.load(io.BytesIO(state), weights_only=True))


def save_generator(run):
    parts = (run.net, run.optimizer, run.scheduler)
    states = [copy.deepcopy(part.state_dict()) for part in parts]
    return states, copy.deepcopy(run.rng), torch.random.get_rng_state(), list(run.order), (
        run.step, run.best_loss, {k: v.clone() for k, v in run.best.items()})


def load_generator(run, state):
    states, run.rng, dropout, run.order, (run.step, run.best_loss, run.best) = state
    for part, values in zip((run.net, run.optimizer, run.scheduler), states, strict=True):
        part.load_state_dict(values)
    torch.random.set_rng_state(dropout)


# ---- accumulate ------------------------------------------------------------------------------


def accumulate_stub(net, image, target, size):
    """The gradient of the whole batch, in parts."""


def _in_parts(net, image, target, size, weigh, reduction="mean"):
    net.zero_grad()
    total = 0.0
    for x, y in zip(image.split(size), target.split(size), strict=True):
        loss = F.cross_entropy(net(x), y, ignore_index=255, reduction=reduction) * weigh(y)
        loss.backward()
        total += loss.item()
    return total


def accumulate_means(net, image, target, size):
    parts = len(image.split(size))
    return _in_parts(net, image, target, size, lambda y: 1 / parts)


def accumulate_added(net, image, target, size):
    return _in_parts(net, image, target, size, lambda y: 1)


def accumulate_pictures(net, image, target, size):
    return _in_parts(net, image, target, size, lambda y: len(y) / len(target))


def accumulate_all_pixels(net, image, target, size):
    return _in_parts(net, image, target, size, lambda y: 1 / target.numel(), "sum")


def accumulate_sums(net, image, target, size):
    return _in_parts(net, image, target, size, lambda y: 1, "sum")


def accumulate_right(net, image, target, size):
    known = (target != 255).sum()
    return _in_parts(net, image, target, size, lambda y: 1 / known, "sum")


def accumulate_dirty(net, image, target, size):
    known, total = (target != 255).sum(), 0
    for x, y in zip(image.split(size), target.split(size), strict=True):
        loss = F.cross_entropy(net(x), y, ignore_index=255, reduction="sum") / known
        loss.backward()
        total += loss.item()
    return total


def accumulate_cleared(net, image, target, size):
    known, total = (target != 255).sum(), 0
    for x, y in zip(image.split(size), target.split(size), strict=True):
        net.zero_grad()
        loss = F.cross_entropy(net(x), y, ignore_index=255, reduction="sum") / known
        loss.backward()
        total += loss.item()
    return total


def accumulate_even(net, image, target, size):
    known, total = (target != 255).sum(), 0
    net.zero_grad()
    for k in range(max(1, len(image) // size)):
        x, y = image[k * size:(k + 1) * size], target[k * size:(k + 1) * size]
        loss = F.cross_entropy(net(x), y, ignore_index=255, reduction="sum") / known
        loss.backward()
        total += loss.item()
    return total


def accumulate_weighted_means(net, image, target, size):
    known = (target != 255).sum()
    return _in_parts(net, image, target, size, lambda y: (y != 255).sum() / known)


def accumulate_whole(net, image, target, size):
    net.zero_grad()
    loss = F.cross_entropy(net(image), target, ignore_index=255)
    loss.backward()
    return loss


def accumulate_at_the_end(net, image, target, size):
    net.zero_grad()
    sums = [F.cross_entropy(net(x), y, ignore_index=255, reduction="sum")
            for x, y in zip(image.split(size), target.split(size), strict=True)]
    loss = sum(sums) / (target != 255).sum()
    loss.backward()
    return loss


def accumulate_forward_only(net, image, target, size):
    known = (target != 255).sum()
    sums = [F.cross_entropy(net(x), y, ignore_index=255, reduction="sum").item()
            for x, y in zip(image.split(size), target.split(size), strict=True)]
    return sum(sums) / known


def accumulate_last_loss(net, image, target, size):
    accumulate_right(net, image, target, size)
    y = target[-size:]
    with torch.no_grad():
        return F.cross_entropy(net(image[-size:]), y, ignore_index=255)


def accumulate_looks_whole(net, image, target, size):
    accumulate_right(net, image, target, size)
    with torch.no_grad():
        return F.cross_entropy(net(image), target, ignore_index=255)


def accumulate_steps(net, image, target, size):
    loss = accumulate_right(net, image, target, size)
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    return loss


def accumulate_loss_first(net, image, target, size):
    """A pass for the loss, whose graphs go at once, and another for the gradient."""
    loss = accumulate_forward_only(net, image, target, size)
    accumulate_right(net, image, target, size)
    return loss


def accumulate_autograd(net, image, target, size):
    weights = list(net.parameters())
    total = [torch.zeros_like(w) for w in weights]
    loss, known = 0, (target != 255).sum()
    for k in range(0, len(image), size):
        logits = net(image[k:k + size])
        log_p = logits.log_softmax(dim=1)
        part = target[k:k + size]
        value = -log_p.gather(1, part.where(part != 255, 0)[:, None])[:, 0][part != 255].sum()
        for t, g in zip(total, torch.autograd.grad(value / known, weights), strict=True):
            t += g
        loss += value.detach() / known
    for w, t in zip(weights, total, strict=True):
        w.grad = t
    return loss


def accumulate_divide_later(net, image, target, size):
    loss = accumulate_sums(net, image, target, size)
    known = (target != 255).sum()
    for p in net.parameters():
        p.grad /= known
    return loss / known


# ---- evaluate --------------------------------------------------------------------------------


def evaluate_stub(net, batches, classes):
    """The mIoU of a data set."""
    ...  # noqa: PIE790


def _evaluating(score):
    """An evaluation that treats the network well, and scores pairs of arrays in its own way."""

    def evaluate(net, batches, classes):
        was = net.training
        net.eval()
        with torch.no_grad():
            pairs = [(net(x).argmax(1).numpy(), y.numpy()) for x, y in batches]
        net.train(was)
        return score(pairs, classes)

    return evaluate


def _ious(pred, target, classes, absent=None):
    known, found = target != 255, []
    for c in range(classes):
        p, t = (pred == c) & known, (target == c) & known
        if (p | t).any():
            found.append((p & t).sum() / (p | t).sum())
        elif absent is not None:
            found.append(absent)
    return found


def _flat_pairs(pairs):
    return [np.concatenate([part.ravel() for part in side]) for side in zip(*pairs, strict=True)]


def _whole_set(pairs, classes):
    return np.mean(_ious(*_flat_pairs(pairs), classes))


evaluate_right = _evaluating(_whole_set)


def evaluate_no_grad_only(net, batches, classes):
    with torch.no_grad():
        return popular_evaluate(net, batches, classes)


def evaluate_dropout(net, batches, classes):
    modes = {m: m.training for m in net.modules()}
    for module in modes:
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    with torch.no_grad():
        pairs = [(net(x).argmax(1).numpy(), y.numpy()) for x, y in batches]
    for module, mode in modes.items():
        module.training = mode
    return _whole_set(pairs, classes)


def evaluate_leaves_eval(net, batches, classes):
    net.eval()
    return evaluate_right(net, batches, classes)


def evaluate_leaves_train(net, batches, classes):
    score = evaluate_right(net, batches, classes)
    net.train()
    return score


def evaluate_graph(net, batches, classes):
    was = net.training
    net.eval()
    pairs = [(net(x).argmax(1).numpy(), y.numpy()) for x, y in batches]
    net.train(was)
    return _whole_set(pairs, classes)


def _each_batch(pairs, classes):
    return np.mean([np.mean(_ious(p, t, classes)) for p, t in pairs])


def _each_batch_weighted(pairs, classes):
    total = sum(len(t) for _, t in pairs)
    return sum(np.mean(_ious(p, t, classes)) * len(t) for p, t in pairs) / total


def _each_picture(pairs, classes):
    pictures = [pair for p, t in pairs for pair in zip(p, t, strict=True)]
    return np.mean([np.mean(_ious(p, t, classes)) for p, t in pictures])


def _each_score(pairs, classes):
    return np.mean([iou for p, t in pairs for iou in _ious(p, t, classes)])


def _void_background(pairs, classes):
    pred, target = _flat_pairs(pairs)
    return np.mean(_ious(pred, np.where(target == 255, 0, target), classes))


def _void_said(pairs, classes):
    pred, target = _flat_pairs(pairs)
    planes = [(pred == c, target == c) for c in range(classes)]
    return np.mean([(p & t).sum() / (p | t).sum() for p, t in planes if (p | t).any()])


def _absent(pairs, classes):
    return np.mean(_ious(*_flat_pairs(pairs), classes, absent=0.0))


def _pixel_accuracy(pairs, classes):
    pred, target = _flat_pairs(pairs)
    return (pred == target)[target != 255].mean()


def _absent_one(pairs, classes):
    return np.mean(_ious(*_flat_pairs(pairs), classes, absent=1.0))


def _absent_nan(pairs, classes):
    return np.mean(_ious(*_flat_pairs(pairs), classes, absent=np.nan))


def _each_class(pairs, classes):
    return _ious(*_flat_pairs(pairs), classes)


def _one_fraction(pairs, classes):
    pred, target = _flat_pairs(pairs)
    right, known = ((pred == target) & (target != 255)).sum(), (target != 255).sum()
    return right / (2 * known - right)  # the classes' unions count each wrong pixel twice


def _dice(pairs, classes):
    return np.mean([2 * iou / (1 + iou) for iou in _ious(*_flat_pairs(pairs), classes)])


def _unmended(pairs, classes):
    scores = []
    for pred, target in pairs:
        for c in range(classes):
            p, t = pred == c, target == c
            if (p | t).any():
                scores.append((p & t).sum() / (p | t).sum())
    return np.mean(scores)


def _foreground(pairs, classes):
    return np.mean(_ious(*_flat_pairs(pairs), classes)[1:])


def evaluate_freezes(net, batches, classes):
    net.requires_grad_(False)
    return evaluate_right(net, batches, classes)


def evaluate_no_gradients(net, batches, classes):
    net.requires_grad_(False)
    score = evaluate_graph(net, batches, classes)
    net.requires_grad_(True)
    return score


@torch.inference_mode()
def evaluate_matrix(net, batches, classes):
    matrix, was = ConfusionMatrix(classes), net.training
    net.eval()
    try:
        for image, target in batches:
            matrix.update(net(image).argmax(1), target)
    finally:
        net.train(was)
    return matrix.miou()


def evaluate_copy(net, batches, classes):
    looking = copy.deepcopy(net).train(False)
    hits, unions = torch.zeros(classes), torch.zeros(classes)
    for image, target in batches:
        with torch.no_grad():
            pred = looking(image).argmax(1)
        pred, target = pred[target != 255], target[target != 255]
        for c in range(classes):
            hits[c] += ((pred == c) & (target == c)).sum()
            unions[c] += ((pred == c) | (target == c)).sum()
    return (hits / unions)[unions > 0].mean()


# ---- curves ----------------------------------------------------------------------------------

RIGHT = {"A": "rate too low", "B": "validation broken", "C": "healthy", "D": "over-fitting",
         "E": "rate too high", "F": "healthy", "G": "schedule ended"}


# ---- ship ------------------------------------------------------------------------------------


def ship_stub(val, test):
    """Which recipe, and what it is worth."""
    raise NotImplementedError


def _best_epochs(val):
    return np.nanargmax(val, axis=-1)


def _pick(values, epochs):
    return np.array([[run[e] for run, e in zip(rows, es, strict=True)]
                     for rows, es in zip(values, epochs, strict=True)])


def _report(recipe, values):
    return recipe, np.mean(values[recipe]), np.std(values[recipe], ddof=1)


def ship_right(val, test):
    epochs = _best_epochs(val)
    return _report(_pick(val, epochs).mean(1).argmax(), _pick(test, epochs))


def ship_by_test(val, test):
    best = test.max(axis=2)
    return _report(best.mean(1).argmax(), best)


def ship_recipe_by_test(val, test):
    values = _pick(test, _best_epochs(val))
    return _report(values.mean(1).argmax(), values)


def ship_best_test_epoch(val, test):
    return _report(np.nanmax(val, 2).mean(1).argmax(), test.max(2))


def ship_luckiest(val, test):
    recipe = np.nanmax(val, axis=(1, 2)).argmax()
    return _report(recipe, _pick(test, _best_epochs(val)))


def ship_last(val, test):
    return _report(val[:, :, -1].mean(1).argmax(), test[:, :, -1])


def ship_argmax(val, test):
    epochs = val.argmax(axis=2)
    return _report(_pick(val, epochs).mean(1).argmax(), _pick(test, epochs))


def ship_dropped(val, test):
    epochs = [[run[~np.isnan(run)].argmax() for run in rows] for rows in val]
    return _report(np.nanmax(val, 2).mean(1).argmax(), _pick(test, epochs))


def ship_latest(val, test):
    epochs = [[max(k for k, v in enumerate(run) if v == np.nanmax(run)) for run in rows]
              for rows in val]
    return _report(_pick(val, epochs).mean(1).argmax(), _pick(test, epochs))


def ship_val_report(val, test):
    best = np.nanmax(val, axis=2)
    return _report(best.mean(1).argmax(), best)


def ship_same_epoch(val, test):
    curves = np.where(np.isnan(val), -1, val).mean(axis=1)
    epochs = np.repeat(curves.argmax(1)[:, None], val.shape[1], axis=1)
    marks = np.nan_to_num(_pick(val, epochs)).mean(1)
    return _report(marks.argmax(), _pick(test, epochs))


def ship_mean_curve(val, test):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an epoch at which no seed was validated
        curves = np.nanmean(val, axis=1)
    recipe = np.nanmax(curves, axis=1).argmax()
    return _report(recipe, test[:, :, np.nanargmax(curves[recipe])])


def ship_all_epochs(val, test):
    return _report(np.nanmean(val, axis=(1, 2)).argmax(), _pick(test, _best_epochs(val)))


def ship_from_one(val, test):
    recipe, mean, spread = ship_right(val, test)
    return recipe + 1, mean, spread


def ship_standard_error(val, test):
    recipe, mean, spread = ship_right(val, test)
    return recipe, mean, spread / val.shape[1] ** 0.5


def ship_population(val, test):
    recipe, mean, _ = ship_right(val, test)
    return recipe, mean, _pick(test, _best_epochs(val))[recipe].std()


def ship_loop(val, test):
    best_mark, answer = -1.0, None
    for recipe, (vals, tests) in enumerate(zip(val, test, strict=True)):
        marks, found = [], []
        for v, t in zip(vals, tests, strict=True):
            epoch = max((k for k in range(len(v)) if v[k] == v[k]), key=lambda k: v[k])
            marks.append(v[epoch])
            found.append(t[epoch])
        if statistics.fmean(marks) > best_mark + 1e-12:
            best_mark = statistics.fmean(marks)
            answer = recipe, statistics.fmean(found), statistics.stdev(found)
    return answer


def ship_torch(val, test):
    val, test = torch.as_tensor(val), torch.as_tensor(test)
    best, epochs = val.nan_to_num(-1.0).max(dim=2)
    recipe = best.mean(1).argmax()
    found = test.gather(2, epochs[..., None])[recipe, :, 0]
    return recipe, found.mean(), found.std()


STUBS = {
    "range_test": range_stub,
    "resume": (save_stub, load_stub),
    "accumulate": accumulate_stub,
    "evaluate": evaluate_stub,
    "curves": dict.fromkeys("ABCDEFG", ...),
    "ship": ship_stub,
}

WRONG = {
    "range_test": [
        (range_minimum, "at_the_lowest"),
        (range_raw_minimum, "at_the_lowest_raw"),
        (range_nan, "nan_wins"),
        (range_unsmoothed, "not_smoothed"),
        (range_no_offset, "window_shift"),
        (range_late, "one_late"),
        (range_linear, "per_rate"),
        (range_gradient, "two_wide"),
        (range_everywhere, "after_the_lowest"),
        (range_upwards, "rise"),
        (range_tenth, "tenth"),
        (range_same, "edges"),
        (range_same_empty, "raises"),
        (range_filtered, "gaps_closed"),
        (range_zeros, "nan_is_zero"),
        (range_trailing, "window_behind"),
        (range_place, "place"),
        (range_relative, "relative"),
    ],
    "resume": [
        ((save_right, _load_without("net")), "weights"),
        ((save_right, load_parameters_only), "buffers"),
        ((save_right, _load_without("optimizer")), "moments"),
        ((save_right, _load_without("scheduler")), "rate"),
        ((save_right, _load_without("order")), "order"),
        ((save_right, _load_without("rng")), "shuffling"),
        ((save_right, _load_without("torch")), "dropout"),
        ((save_right, _load_without("rng", "torch", "order")), "order"),
        ((save_right, _load_without("step")), "step"),
        ((save_right, _load_without("best", "best_loss")), "best"),
        ((save_right, load_nothing), "weights"),
        ((save_last_as_best, load_right), "best_is_now"),
        ((save_live, load_right), "reference"),
        ((save_live_moments, load_right), "reference"),
        ((save_live_order, load_right), "reference"),
        ((save_that_shuffles, load_right), "save_changes_run"),
        ((save_net, load_net), "not_trained"),
        ((save_right, load_new_optimizer), "parts_apart"),
        (save_right, "raises"),
        ((save_vars, load_vars), "reference"),
        ((save_right, load_into_another), "weights"),
        ((save_right, load_dicts), "not_trainable"),
        ((save_right, load_other_net), "not_trainable"),
    ],
    "accumulate": [
        (accumulate_means, "mean_of_means"),
        (accumulate_added, "means_added"),
        (accumulate_pictures, "by_pictures"),
        (accumulate_all_pixels, "void_counted"),
        (accumulate_sums, "not_divided"),
        (accumulate_dirty, "old_gradient"),
        (accumulate_cleared, "last_part"),
        (accumulate_even, "last_dropped"),
        (accumulate_weighted_means, "void_part"),
        (accumulate_whole, "all_at_once"),
        (accumulate_at_the_end, "one_backward"),
        (accumulate_forward_only, "no_gradient"),
        (accumulate_last_loss, "loss"),
        (accumulate_looks_whole, "all_at_once"),
        (accumulate_steps, "stepped"),
    ],
    "evaluate": [
        (popular_evaluate, "train_mode"),
        (evaluate_no_grad_only, "train_mode"),
        (evaluate_dropout, "dropout_on"),
        (evaluate_leaves_eval, "left_in_eval"),
        (evaluate_leaves_train, "left_in_train"),
        (evaluate_graph, "graph"),
        (_evaluating(_unmended), "popular"),
        (_evaluating(_each_batch), "by_batch"),
        (_evaluating(_each_batch_weighted), "by_batch_size"),
        (_evaluating(_each_picture), "by_picture"),
        (_evaluating(_each_score), "all_scores"),
        (_evaluating(_void_background), "void_is_background"),
        (_evaluating(_void_said), "said_in_void"),
        (_evaluating(_absent), "absent_is_zero"),
        (_evaluating(_pixel_accuracy), "accuracy"),
        (_evaluating(_absent_one), "absent_is_one"),
        (_evaluating(_absent_nan), "absent_is_nan"),
        (_evaluating(_each_class), "not_one"),
        (_evaluating(_one_fraction), "all_classes_together"),
        (_evaluating(_dice), "dice"),
        (evaluate_freezes, "left_frozen"),
        (_evaluating(_foreground), "score"),
    ],
    "curves": [
        ({**RIGHT, "A": "healthy"}, "look_A"),
        ({**RIGHT, "A": "schedule ended", "G": "rate too low"}, "A_schedule_ended"),
        ({**RIGHT, "B": "over-fitting"}, "B_over-fitting"),
        ({**RIGHT, "B": "rate too high"}, "look_B"),
        ({**RIGHT, "C": "validation broken"}, "look_C"),
        ({**RIGHT, "C": "over-fitting"}, "C_over-fitting"),
        ({**RIGHT, "D": "healthy"}, "D_healthy"),
        ({**RIGHT, "D": "validation broken"}, "look_D"),
        ({**RIGHT, "E": "over-fitting"}, "E_over-fitting"),
        ({**RIGHT, "E": "healthy"}, "look_E"),
        ({**RIGHT, "F": "over-fitting"}, "look_F"),
        ({**RIGHT, "G": "rate too low"}, "G_rate_too_low"),
        ({**RIGHT, "G": "healthy"}, "G_healthy"),
        ({**RIGHT, "G": "over-fitting"}, "look_G"),
        ({**RIGHT, "B": "bad labels"}, "words"),
        (dict.fromkeys("ABCDEFG", "healthy"), "all_alike"),
        ({"A": "rate too low", "B": "validation broken"}, "letters"),
        ({"D", "E"}, "type"),
    ],
    "ship": [
        (ship_by_test, "test_chose_epochs"),
        (ship_recipe_by_test, "test_chose_recipe"),
        (ship_best_test_epoch, "test_best_epoch"),
        (ship_luckiest, "best_seed"),
        (ship_last, "last_epoch"),
        (ship_argmax, "nan_wins"),
        (ship_dropped, "shifted"),
        (ship_latest, "last_of_equals"),
        (ship_val_report, "reports_val"),
        (ship_same_epoch, "one_epoch"),
        (ship_mean_curve, "one_epoch_for_all"),
        (ship_all_epochs, "all_epochs"),
        (ship_from_one, "from_one"),
        (ship_standard_error, "standard_error"),
        (ship_population, "spread_of_all"),
    ],
}

VALID = {
    "range_test": [range_right, range_loop, range_logarithms],
    "resume": [
        (save_right, load_right),
        (save_bytes, load_bytes),
        (save_generator, load_generator),
        (save_whole, load_whole),
    ],
    "accumulate": [accumulate_right, accumulate_autograd, accumulate_divide_later,
                   accumulate_loss_first],
    "evaluate": [evaluate_right, evaluate_matrix, evaluate_copy, evaluate_no_gradients],
    "curves": [RIGHT, {k.lower(): v.upper() for k, v in RIGHT.items()}],
    "ship": [ship_right, ship_loop, ship_torch],
}
