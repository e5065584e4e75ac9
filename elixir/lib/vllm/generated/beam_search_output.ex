# Made by `python -m python_worker.gen` from python_worker/generated/manifest.json.
# It describes vLLM 0.32.0: install another and run it again.

defmodule Vllm.BeamSearchOutput do
  @moduledoc """
  The output of beam search. It contains the list of the best beam search sequences. The
  length of the list is equal to the beam width.

  In Python: `vllm.entrypoints.generate.beam_search.utils.BeamSearchOutput`, whose words these
  are: its `None` is `nil` here.

  ## Fields

    * `:sequences` - `list[BeamSearchSequence]`.
    * `:extra` - fields by name that a newer worker sends, and that this client does not know. Else
      empty.
  """

  @type t :: %__MODULE__{
          sequences: [Vllm.BeamSearchSequence.t()],
          extra: %{optional(String.t()) => term()}
        }

  defstruct sequences: nil,
            extra: %{}

  defimpl Inspect do
    defdelegate inspect(struct, opts), to: Vllm.Core.Inspection
  end
end
