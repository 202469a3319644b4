"""Stage *Teach*: which samples there are, and what they are for."""

from __future__ import annotations

from typing import Any

from napari_unetsharp.errors import UNetSharpError
from napari_unetsharp.widgets.teach_frame import TeachFrame
from napari_unetsharp.widgets.teach_layers import folder_entries, pair_entry, pairs_of, review_entries
from napari_unetsharp.widgets.teach_samples import Entry


class GatheringSamples(TeachFrame):
    """The list of samples: found, added, removed, read."""

    def _pairs(self) -> dict[str, list[str]]:
        viewer = self._viewer()
        return {} if viewer is None else pairs_of(viewer)

    def _collect(self) -> None:
        """Reviews of the open case and of the folder; what was added by hand stays."""
        images = [case.path for case in self.cases.cases]
        found = {entry.key: entry for entry in review_entries(self.review, self.find.layer, images)}
        known = {entry.key: entry for entry in self.reader.entries}
        for key, entry in found.items():
            if key in known:
                known[key].origin, known[key].open_here = entry.origin, entry.open_here
            elif key not in self._removed:
                known[key] = entry
        self.reader.entries[:] = sorted(known.values(), key=lambda entry: not entry.open_here)
        self.setup.open_pairs(not self.reader.entries and bool(self._pairs()))

    def _read(self, layers_too: bool = True) -> None:
        self.reader.seed, self.reader.quarter = int(self.setup.form.seed.value), self.setup.quarter
        self.reader.read(layers_too)
        self.setup.samples.show_entries(self.reader.entries)
        self.setup.show_weighed(None)
        self._refresh_button()

    def add_pair(self, image: str, labels: str, rectangle: bool = False) -> None:
        """Learn from an Image and a Labels layer.

        Parameters
        ----------
        image, labels : str
            Names of the layers.
        rectangle : bool, optional
            Only what lies in the drawn rectangle counts.
        """
        viewer = self._viewer()
        if viewer is None:
            return
        self.message.clear()
        try:
            self._add([pair_entry(viewer, image, labels, rectangle)])
        except UNetSharpError as error:
            self.message.problem(str(error))
            return
        self.setup.open_pairs(False)

    def add_folder(self, folder: str) -> None:
        """Learn from all samples of a folder."""
        self.message.clear()
        try:
            self._add(folder_entries(folder))
        except (UNetSharpError, OSError) as error:
            self.message.problem(str(error))

    def _add(self, entries: list[Entry]) -> None:
        known = {entry.key for entry in self.reader.entries}
        for entry in entries:
            self._removed.discard(entry.key)
            if entry.key not in known:
                self.reader.entries.append(entry)
        self._read()

    def remove(self, entry: Entry) -> None:
        """Take a sample off the list."""
        self._removed.add(entry.key)
        self.reader.entries[:] = [other for other in self.reader.entries if other is not entry]
        self._read(layers_too=False)

    def _choice_changed(self, _value: Any = None) -> None:
        self._read(layers_too=False)

    def _settings_changed(self, _value: Any = None) -> None:
        if self.reader.seed != int(self.setup.form.seed.value):
            self._read(layers_too=False)
        self._measure()

    def _weighed(self) -> None:
        reader = self.reader
        kept = [entry for entry in reader.entries if entry.open_here or entry.trouble or entry.sample is None
                or entry.sample.share or entry.part != "auto"]  # fmt: skip
        reader.entries[:] = kept  # cases of which nothing is reviewed yet would only fill the list
        self.setup.samples.show_entries(reader.entries)
        self.setup.show_weighed(reader.weighed)
        self._refresh_button()
        if self._wished:
            self._wished = False
            self.gathered.emit()

    def _reading_failed(self, error: Exception) -> None:
        self._wished = False
        self.message.problem(f"The samples can't be read ({type(error).__name__}: {error}).")
        self._refresh_button()
