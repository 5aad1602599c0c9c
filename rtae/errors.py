"""Every error rtae raises on purpose.

::

    RtaeError
    ├── ParameterError (ValueError)            a value out of its range, or arguments that do not fit together
    ├── ModelFormatError (ValueError)          not an rtae model, damaged, or of a format this version cannot read
    ├── ModelNotFoundError (FileNotFoundError) no model of that name or path
    ├── AudioFileError (ValueError)            a sound file that cannot be read or written
    ├── BitstreamError (ValueError)            a coded stream that breaks its format
    ├── TruncatedStreamError (EOFError)        a coded stream that ends early
    ├── DeviceError (OSError)                  a sound device or server that is missing, busy or gone
    ├── StreamStateError (RuntimeError)        a call that does not fit the stream's state
    └── MissingDependencyError (ImportError)   an optional package that is not installed

Each also inherits the builtin a caller would already catch. A message says what was attempted, what was found, what
is allowed and what to do, in one line.
"""


class RtaeError(Exception):
    """Root of the tree: catch this to catch everything rtae raises on purpose."""


class ParameterError(RtaeError, ValueError):
    """A value out of its range, or arguments that do not fit together."""


class ModelFormatError(RtaeError, ValueError):
    """Not an rtae model file, a damaged one, or one of a format this version cannot read."""


class ModelNotFoundError(RtaeError, FileNotFoundError):
    """No model of that name or path."""


class AudioFileError(RtaeError, ValueError):
    """A sound file that cannot be read or written."""


class BitstreamError(RtaeError, ValueError):
    """A coded stream that breaks its format."""


class TruncatedStreamError(RtaeError, EOFError):
    """A coded stream that ends before its declared length."""


class DeviceError(RtaeError, OSError):
    """A sound device or server that is missing, busy or gone."""


class StreamStateError(RtaeError, RuntimeError):
    """A call that does not fit the stream's state."""


class MissingDependencyError(RtaeError, ImportError):
    """An optional package that is not installed; the message names the extra to install."""
