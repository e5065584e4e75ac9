defmodule Vllm.Core.Integrations.EngineName do
  @moduledoc false
  # Finds the engine of a model or a serving that lives longer than a reference: `{instance, name}` is
  # looked up before each request, so that an engine which was built anew is found.

  alias Vllm.{Error, Ref}
  alias Vllm.Core.Instance.Locator
  alias Vllm.Core.Pool.Lookup

  @type t :: Ref.t() | {Vllm.instance(), atom()}

  # Milliseconds to wait for an engine that is being built, as `Vllm.engine/2` does.
  @timeout 60_000

  @doc "The reference of an engine. A term of any other form is the error `:invalid`."
  @spec fetch(term()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def fetch(%Ref{} = ref), do: {:ok, ref}

  def fetch({instance, name}) when is_atom(name) and not is_nil(name) do
    with {:ok, instance} <- Locator.locate(instance),
         do: Lookup.engine(instance, name, @timeout)
  end

  def fetch(other) do
    text = "the engine must be a reference or {instance, name}, got: #{inspect(other, limit: 5)}"
    {:error, Error.new(:invalid, text, details: %{"parameter" => "engine"})}
  end
end
