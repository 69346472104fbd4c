"""Shape annotations such as Float[Tensor, "models parameters"].

Axis names mean the same everywhere: models, parameters, tokens, token_size, latent,
batch, images, channels, height, width, classes, epochs. Where jaxtyping is not
installed (a bare GPU machine) an annotation is just its array type.
"""

try:
    from jaxtyping import Bool, Float, Int, UInt8
except ImportError:

    class _Unchecked:
        """Stands in for a jaxtyping dtype: keeps the array type, drops the shape."""

        def __class_getitem__(cls, item: tuple) -> type:
            return item[0]

    Bool = Float = Int = UInt8 = _Unchecked  # type: ignore[assignment]

__all__ = ["Bool", "Float", "Int", "UInt8"]
