defmodule Vllm.Core.Instance.Listing do
  @moduledoc false
  # Lists the engines of a worker, for `Vllm.engines/1`.

  alias Vllm.{Call, Error, Ref}
  alias Vllm.Core.Instance.{Declared, Locator}

  @type engine :: %{
          name: atom() | String.t() | nil,
          ref: Ref.t(),
          type: String.t(),
          model: String.t() | nil,
          state: :ready | :stalled | :dead,
          unfinished_requests: non_neg_integer() | nil
        }

  @doc "The engines of the worker of an instance, as of now."
  @spec read(Locator.instance()) :: {:ok, [engine()]} | {:error, Error.t()}
  def read(instance) do
    with {:ok, status} <- Call.invoke_class("Worker", "status", 0, [instance]) do
      names = Declared.names(instance)
      {:ok, Enum.map(status["engines"], &engine(&1, instance, status["incarnation"], names))}
    end
  end

  defp engine(of_worker, instance, incarnation, names) do
    id = of_worker["ref"]
    # A worker of another version, that was started elsewhere, tells no type.
    type = of_worker["type"] || "AsyncLLM"

    %{
      name: names[id] || of_worker["name"],
      ref: %Ref{instance: instance, incarnation: incarnation, id: id, type: type},
      type: type,
      model: of_worker["model"],
      state: state(of_worker),
      unfinished_requests: of_worker["unfinished_requests"]
    }
  end

  defp state(%{"errored" => true}), do: :dead
  defp state(%{"stalled_s" => seconds}) when is_number(seconds), do: :stalled
  defp state(_of_worker), do: :ready
end
