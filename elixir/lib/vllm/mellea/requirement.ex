defmodule Vllm.Mellea.Requirement do
  @moduledoc """
  What is required of a text.

      %Vllm.Mellea.Requirement{
        description: "Use at most ten words.",
        validate: fn text -> length(String.split(text)) <= 10 end
      }

  `validate` runs in a process of its own beside the caller's, and returns `true`, `false`,
  `{boolean, reason}` or a `Vllm.Mellea.ValidationResult`. Without it the model itself is asked whether
  the text meets the `description`. With `check_only: true` the description is not part of the prompt.
  """

  defstruct [:description, :validate, check_only: false]

  @typedoc "What a function that validates returns: whether the text meets the requirement, and why."
  @type verdict :: boolean() | {boolean(), String.t()} | Vllm.Mellea.ValidationResult.t()

  @type t :: %__MODULE__{
          description: String.t() | nil,
          validate: (String.t() -> verdict()) | nil,
          check_only: boolean()
        }
end
