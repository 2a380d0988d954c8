"""Names of array types that several modules take and return."""

from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
AnyArray = npt.NDArray[Any]
ArrayOrTensor = Union[npt.ArrayLike, "Tensor"]
