defmodule Vllm.Mellea.Instruction do
  @moduledoc """
  An instruction for the model: what to do, what is required of the text, examples, and texts to go by.

  With `user_variables` all texts may have placeholders and conditions of Jinja's: `{{ name }}` is
  replaced. Loops and arithmetic are refused.
  `images` are shown to the model with it, see `Vllm.Mellea.Message`.
  `requirements` are texts or `Vllm.Mellea.Requirement`s; those that are `check_only` are not told.
  """

  defstruct description: nil,
            requirements: [],
            icl_examples: [],
            grounding_context: %{},
            user_variables: nil,
            prefix: nil,
            images: []

  @type t :: %__MODULE__{
          description: String.t() | nil,
          requirements: [String.t() | Vllm.Mellea.Requirement.t()],
          icl_examples: [String.t()],
          grounding_context: %{optional(atom() | String.t()) => Vllm.Mellea.span()},
          user_variables: %{optional(atom() | String.t()) => term()} | nil,
          prefix: String.t() | nil,
          images: [Vllm.Mellea.Message.image()]
        }
end
