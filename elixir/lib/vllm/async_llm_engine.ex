defmodule Vllm.AsyncLLMEngine do
  @moduledoc """
  The earlier name of `Vllm.AsyncLLM`, which vLLM still has: the same functions, the same engines.
  """

  for {name, arity} <- Vllm.AsyncLLM.__info__(:functions) do
    arguments = Macro.generate_arguments(arity, __MODULE__)

    @doc "See `Vllm.AsyncLLM.#{name}/#{arity}`."
    defdelegate unquote(name)(unquote_splicing(arguments)), to: Vllm.AsyncLLM
  end
end
