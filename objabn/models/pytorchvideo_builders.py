"""pytorchvideo's functions that build networks, imported without the warnings of what lies below them."""

import warnings

with warnings.catch_warnings():
    # fvcore, below pytorchvideo, scripts two functions when it is imported; torch warns of that on every start.
    warnings.simplefilter("ignore", FutureWarning)
    from pytorchvideo.models.csn import create_csn
    from pytorchvideo.models.r2plus1d import create_r2plus1d
    from pytorchvideo.models.resnet import create_resnet
    from pytorchvideo.models.slowfast import create_slowfast
    from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers
    from pytorchvideo.models.weight_init import init_net_weights
    from pytorchvideo.models.x3d import create_x3d, create_x3d_res_block

__all__ = [
    "create_csn",
    "create_multiscale_vision_transformers",
    "create_r2plus1d",
    "create_resnet",
    "create_slowfast",
    "create_x3d",
    "create_x3d_res_block",
    "init_net_weights",
]
