"""Random reviews that can be repeated from their numbers, and a process that makes one until it is killed."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import time
import zlib

import numpy as np

from napari_unetsharp.errors import ReviewError
from napari_unetsharp.nuclei import answers, edits, redrawing
from napari_unetsharp.nuclei.findings import extents, whole
from napari_unetsharp.nuclei.identity import Identity
from napari_unetsharp.nuclei.pixels import Box
from napari_unetsharp.nuclei.review import Review
from napari_unetsharp.nuclei.states import REASONS, State

SIDE = 72
IDENTITY = Identity((SIDE, SIDE), "uint8", "YX", (), "0" * 64)


def discs(shape, centres, radius):
    """Label i + 1 around centre i; later ones on top."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.int32)
    for place, (row, column) in enumerate(centres):
        labels[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = place + 1
    return labels


def field(seed=0, count=12):
    """A plane of touching and single discs."""
    draws = np.random.default_rng(seed)
    return discs((SIDE, SIDE), draws.integers(0, SIDE, (count, 2)).tolist(), 6)


def some(review, number):
    """One of the nuclei, those that were declared none included."""
    ids = sorted(review.nuclei)
    return ids[number % len(ids)] if ids else 1


def square(a, b):
    """A box of 4 to 19 px within the plane."""
    top, left = a % (SIDE - 20), b % (SIDE - 20)
    return Box(top, left, top + 4 + b % 16, left + 4 + a % 16)


def corners(box):
    return [(box.top, box.left), (box.top, box.right), (box.bottom, box.right), (box.bottom, box.left)]


def stroke(review, a, b):
    """Paint over anything, as napari does, in the array of the review itself."""
    box, id_ = square(a, b), [some(review, a), review.next_id][b % 5 == 0]
    before = review.labels[box.slices].copy()
    review.labels[box.slices] = 0 if a % 3 == 0 else id_
    try:
        review.record_stroke(box, before, review.labels[box.slices], id_)
    except ReviewError:
        assert np.array_equal(review.labels[box.slices], before)
        raise


def line(review, a, b):
    box = review.findings.box_of(some(review, a))
    return [(box.top + b % 9, box.left - 1), (box.bottom - b % 5, box.right + 1)]


def apply(edit, *more):
    return lambda review, a, b: review.apply(edit, some(review, a), *more)


ACTS = (
    apply(answers.accept),
    lambda review, a, b: review.apply(answers.reject, some(review, a), REASONS[b % 5]),
    lambda review, a, b: review.apply(answers.unsure, some(review, a), REASONS[b % 5]),
    apply(answers.to_do),
    lambda review, a, b: review.apply(answers.lasso, corners(square(a, b)), list(State)[(a + b) % 5]),
    lambda review, a, b: review.apply(answers.complete_view, square(a, b), how="screen"),
    lambda review, a, b: review.apply(answers.reopen_view, (a % SIDE, b % SIDE)),
    lambda review, a, b: review.apply(answers.ignore, corners(square(a, b)), bool(a % 3)),
    lambda review, a, b: review.apply(answers.tag, some(review, a), ["mitosis", "größer"][: b % 3]),
    lambda review, a, b: review.apply(answers.classify, some(review, a), ["", "tumour", "stroma"][b % 3]),
    lambda review, a, b: review.apply(edits.add, square(a, b), np.ones(square(a, b).shape, bool)),
    lambda review, a, b: review.apply(edits.grow, (b % SIDE, 7 * b % SIDE), [maps(b)], 12 + a % 5),
    lambda review, a, b: review.apply(edits.split, some(review, a), line(review, a, b)),
    apply(edits.split_at_neck),
    lambda review, a, b: review.apply(edits.join, some(review, a), some(review, b)),
    lambda review, a, b: review.apply(redrawing.take_outline, some(review, a), field(b % 3)),
    lambda review, a, b: review.apply(
        redrawing.redraw, some(review, a), square(a, b), np.ones(square(a, b).shape, bool)
    ),
    lambda review, a, b: review.apply(
        redrawing.brush, some(review, a), square(a, b), np.ones(square(a, b).shape, bool), bool(b % 2)
    ),
    apply(redrawing.tidy),
    stroke,
    stroke,
    lambda review, a, b: review.new_proposals(field(a % 4), f"model {b % 3}", how="bulk"),
    lambda review, a, b: review.new_proposals(field(a % 4)[: SIDE // 2], "half", Box(0, 0, SIDE // 2, SIDE)),
    lambda review, a, b: review.note("spot check", {"nucleus": some(review, a), "right": bool(b % 2)}),
    lambda review, a, b: review.undo(),
    lambda review, a, b: review.undo(),
    lambda review, a, b: review.redo(),
)


def maps(number):
    """A probability map with smooth hills."""
    rows, columns = np.ogrid[:SIDE, :SIDE]
    row, column = number % SIDE, 7 * number % SIDE
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 60.0)


def act(review, which, a, b):
    """Try something; False if it can't be done, and then nothing is."""
    before, number = digest(review), review.course.number
    try:
        ACTS[which % len(ACTS)](review, a, b)
    except ReviewError:
        assert (digest(review), review.course.number) == (before, number)
        return False
    return True


def digest(review):
    """A number that stands for everything a review knows, undo steps included."""
    f, undo = review.findings, review.course.undo
    planes = b"".join(part.tobytes() for part in (f.labels, f.proposals, f.ignored))
    outlines = [(id_, part.starts.tolist(), part.lengths.tolist()) for id_, part in sorted(f.rejected.items())]
    steps = [(step.number, step.delta.kind, step.delta.nbytes) for step in (*undo.done, *undo.undone)]
    history = [(action.number, action.what, action.how, action.model, action.nuclei) for action in review.history]
    known = (sorted(f.nuclei.items()), outlines, f.views, f.last_id, f.model)
    rest = (known, len(undo.done), steps, review.notes, history)
    return zlib.crc32(repr(rest).encode(), zlib.crc32(planes))


def content(review):
    """Everything that undo must restore."""
    f = review.findings
    planes = tuple(part.tobytes() for part in (f.labels, f.proposals, f.ignored))
    outlines = [(id_, part.starts.tolist(), part.lengths.tolist()) for id_, part in sorted(f.rejected.items())]
    return planes, sorted(f.nuclei.items()), outlines, list(f.views), f.model


def check_index(review):
    """Boxes and areas are those of the labels; nuclei with pixels are those that aren't declared none."""
    f = review.findings
    found = extents(whole(f.labels))
    assert f.boxes == {id_: box for id_, box, _ in found}
    assert f.areas == {id_: area for id_, _, area in found}
    assert {id_ for id_, nucleus in f.nuclei.items() if nucleus.state is not State.NOT} == f.boxes.keys()
    assert {id_ for id_, nucleus in f.nuclei.items() if nucleus.state is State.NOT} == f.rejected.keys()


def numbers(seed):
    """Endless triples for `act`."""
    draws = random.Random(seed)
    while True:
        yield draws.randrange(10**6), draws.randrange(10**6), draws.randrange(10**6)


def review_until_killed(folder, seed, pipe):
    """Go on with a review and tell of each action that is done: its number and the digest after it."""
    review = Review.open(folder, IDENTITY, who="child")
    pipe.send((review.course.number, digest(review)))
    for count, step in enumerate(numbers(seed)):
        act(review, *step)
        pipe.send((review.course.number, digest(review)))
        if count % 7 == 3:
            review.compact()
        if count % 5 == 1:
            review.save()


class Killing:
    """Kill a process that reviews, open what it left, and compare with the same review without a kill.

    Attributes
    ----------
    review : Review
        The same actions in memory.
    killed : list of tuple
        Acknowledged and found actions of each kill.
    """

    def __init__(self, folder):
        self.folder = folder
        Review.start(folder, IDENTITY, field()).close()
        self.review = Review.start(None, IDENTITY, field())
        self.killed = []
        self.context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
        if os.name == "posix":
            self.context.set_forkserver_preload(["scripted_review"])

    def once(self, seed, reports, after):
        """Kill at a moment: so many reports after the first, and then so many seconds."""
        heard, told = self.context.Pipe(duplex=False)
        child = self.context.Process(target=review_until_killed, args=(self.folder, seed, told))
        child.start()
        told.close()
        known = [heard.recv() for _ in range(reports + 1)]
        time.sleep(after)
        child.kill()
        child.join()
        self.check(seed, [*known, *_rest(heard)])

    def check(self, seed, reports):
        """At most the action in flight is lost, and nothing else is there."""
        with Review.open(self.folder, IDENTITY) as again:
            acknowledged, digest_then = reports[-1]
            found = again.course.number
            assert acknowledged <= found <= acknowledged + 1
            assert found > acknowledged or digest(again) == digest_then
            script = numbers(seed)
            while self.review.course.number < found:
                act(self.review, *next(script))
            assert digest(again) == digest(self.review)
            check_index(again)
        self.killed.append((acknowledged, found))


def _rest(pipe):
    """What was told before the end; a report that was cut by the kill was none."""
    while True:
        try:
            yield pipe.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return
