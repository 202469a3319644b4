"""``python -m napari_unetsharp``: same as ``unetsharp``."""

from napari_unetsharp.launch import main

if __name__ == "__main__":
    main()
