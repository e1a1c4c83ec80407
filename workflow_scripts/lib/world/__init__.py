"""The tiny world: emoji scenes with captions, and the ground truth of what was drawn.

A scene (`scenes.Scene`) is a description; `render.render` draws it, `quality.degrade` spoils it, `detect.detect` reads
it back. Everything is deterministic from a seed. Art: OpenMoji, CC BY-SA 4.0 (resources/openmoji/NOTICE.md).
"""
