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

  alias Vllm.Core.Instance.Locator
  alias Vllm.Error

  # instance: `{name, node}`, so that a reference can be used on any node.
  defstruct [:instance, :incarnation, :id, :type]

  @type t :: %__MODULE__{
          instance: {atom(), node()},
          incarnation: String.t(),
          id: String.t(),
          type: String.t()
        }

  # Bytes. Those of a worker have 16 and 32, names of classes some more.
  @max_bytes 1024

  @doc false
  # Whether it can be one that a worker has made. Others never reach a process that calls share.
  @spec check(term()) :: :ok | {:error, Error.t()}
  def check(%__MODULE__{instance: {_name, _node} = instance} = ref) do
    with {:ok, _instance} <- Locator.locate(instance),
         {:ok, _names} <- names(ref) do
      :ok
    else
      {:error, _error} -> {:error, forged()}
    end
  end

  def check(_other), do: {:error, forged()}

  @doc false
  # What the worker finds the object by, as it is sent.
  @spec names(t()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def names(%__MODULE__{incarnation: incarnation, id: id, type: type}) do
    names = [incarnation, id, type]
    if Enum.all?(names, &text?/1), do: {:ok, names}, else: {:error, forged()}
  end

  defp text?(text), do: is_binary(text) and byte_size(text) <= @max_bytes and String.valid?(text)

  defp forged do
    Error.new(
      :invalid,
      "this is not a Vllm.Ref that a worker has made; pass one that a call returned"
    )
  end

  defimpl Inspect do
    def inspect(%{type: type, id: id, instance: instance}, _opts) do
      "#Vllm.Ref<#{text(type)} #{short(text(id))} @#{place(instance)}>"
    end

    # The fields of one that a program has made may be anything.
    defp text(text) when is_binary(text), do: text
    defp text(other), do: inspect(other)

    defp short(<<head::binary-size(8), _, _::binary>>), do: head <> "…"
    defp short(id), do: id

    defp place({name, node}) when node == node(), do: inspect(name)
    defp place({name, node}), do: "#{inspect(name)} on #{node}"
    defp place(other), do: inspect(other)
  end

  # What `i ref` says in IEx. A release has no IEx, and needs none of this.
  if Code.ensure_loaded?(IEx.Info) do
    defimpl IEx.Info do
      def info(ref) do
        [
          {"Data type", Vllm.Ref},
          {"Description", "A reference: #{inspect(ref)} stands for a Python object in a worker."},
          {"Functions", functions(ref.type)},
          {"Reference modules", "Vllm.Ref, Vllm"}
        ]
      end

      # An object without a module, such as a tokenizer, has the methods of its Python class.
      defp functions(type) when is_binary(type) do
        module = Module.safe_concat("Vllm", type)
        if Code.ensure_loaded?(module), do: "those of #{inspect(module)}", else: by_name()
      rescue
        ArgumentError -> by_name()
      end

      defp functions(_forged), do: by_name()

      defp by_name, do: "the methods of its class in Python, by Vllm.call/4"
    end
  end
end
