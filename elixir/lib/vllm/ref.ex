defmodule Vllm.Ref do
  @moduledoc """
  A reference to a Python object that lives in a worker: an engine, a tokenizer, a config.

  The struct is opaque. It can be sent to any process on any connected node and used there with
  `Vllm.call/4`. Inspecting it makes no call:

      #Vllm.Ref<AsyncLLM 3f2a @MyApp.Vllm>

  The process that receives a reference owns it. The object is released when that process ends or calls
  `Vllm.release/1`. `Vllm.share/2` adds another owner. Engines (`AsyncLLM` and `LLM`) are different:
  they live until they are shut down.

  When the worker restarts, all earlier references are stale. A call with one returns
  `{:error, %Vllm.Error{kind: :stale_ref}}` and never reaches another object.
  """

  # instance: `{name, node}`, so that a reference can be used on any node.
  defstruct [:instance, :incarnation, :id, :type]

  @type t :: %__MODULE__{
          instance: {atom(), node()},
          incarnation: String.t(),
          id: String.t(),
          type: String.t()
        }

  defimpl Inspect do
    def inspect(%{type: type, id: id, instance: instance}, _opts) do
      "#Vllm.Ref<#{type} #{short(id)} @#{place(instance)}>"
    end

    defp short(<<head::binary-size(8), _, _::binary>>), do: head <> "…"
    defp short(id), do: id

    defp place({name, node}) when node == node(), do: inspect(name)
    defp place({name, node}), do: "#{inspect(name)} on #{node}"
    defp place(other), do: inspect(other)
  end
end
