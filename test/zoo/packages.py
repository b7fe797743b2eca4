"""Makes packages usable that were installed beside another build of torch."""

import torch


def prepare() -> None:
    """torchvision's C++ ops need a torch with CUDA. The models of the zoo call none of them, but
    its import describes them to torch, which fails where they are missing."""
    register = torch.library.register_fake

    def register_fake(op, *args, **kwargs):
        if isinstance(op, str) and op.startswith("torchvision::"):
            return lambda function: function
        return register(op, *args, **kwargs)

    torch.library.register_fake = register_fake
    try:
        import torchvision  # noqa: F401
    except ImportError:
        pass  # none of the models that need it is installed
    finally:
        torch.library.register_fake = register
