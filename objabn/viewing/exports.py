"""What one takes away from the page: maps as numbers, and a picture of what was changed and what came of it."""

import io
import json

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from objabn.explainers.explanation import enlarge
from objabn.explainers.overlay import magnify, strip
from objabn.viewing.scene import Scene, class_name


def maps_file(scene: Scene, video: str) -> bytes:
    """Return a safetensors file: the maps as edited by their names and the network's own as `own.NAME`, each (T, y, x), with the
    numbers of their frames in the video, and as metadata the video's name and the probabilities by either."""
    editor, tensors = scene.editor, {"frames": torch.from_numpy(scene.window.frames)}
    for place, name in enumerate(scene.net.map_names):
        tensors[name] = torch.from_numpy(editor.maps[place].copy())
        tensors[f"own.{name}"] = torch.from_numpy(editor.own[place].copy())
    names = [class_name(scene.net, number) for number in range(scene.net.classes)]
    answers = {"own": scene.own_K, "edited": scene.now_K}
    metadata = {"video": video} | {
        key: json.dumps(dict(zip(names, np.round(values_K, 6).tolist(), strict=True))) for key, values_K in answers.items()
    }
    return save(tensors, metadata=metadata)


def picture_file(scene: Scene, name: str) -> bytes:
    """Return a PNG of the clip with a map, and below it the same map before it was edited."""
    shown = scene.shown(name)
    maps, names = [shown.values], [name]
    if any(shown.edited):
        maps, names = [scene.editor.own[scene.net.map_names.index(name)], shown.values], [f"{name} of the network", f"{name} edited"]
    frames_TYXC = magnify(scene.frames_TYXC, (1, 2))
    enlarged_NTYX = enlarge(torch.from_numpy(np.stack(maps))[None], size_TYX=frames_TYXC.shape[:3])[0].numpy()
    file = io.BytesIO()
    picture = strip(frames_TYXC, enlarged_NTYX, names, title=title(scene))
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def title(scene: Scene) -> str:
    """Return the answer in words, and what it became."""
    own, now = (
        f"{class_name(scene.net, int(values_K.argmax()))}  {100 * float(values_K.max()):.1f} %" for values_K in (scene.own_K, scene.now_K)
    )
    return f"{own}   edited: {now}" if scene.editor.is_edited else own
