defmodule Vllm.Mellea.ValidationResult do
  @moduledoc "Whether a text meets a requirement, and why."

  defstruct [:requirement, :result, :reason, :score]

  @type t :: %__MODULE__{
          requirement: String.t() | nil,
          result: boolean(),
          reason: String.t() | nil,
          score: number() | nil
        }
end
