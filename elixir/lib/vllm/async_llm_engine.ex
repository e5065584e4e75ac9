defmodule Vllm.AsyncLLMEngine do
  @moduledoc """
  The earlier name of `Vllm.AsyncLLM`, which vLLM still has: the same functions, the same engines.
  """

  functions = Vllm.AsyncLLM.__info__(:functions)
  # A function with defaults is one in the documentation.
  arities =
    for {name, arities} <- Enum.group_by(functions, &elem(&1, 0), &elem(&1, 1)),
        into: %{},
        do: {name, Enum.max(arities)}

  for {name, arity} <- functions do
    arguments = Macro.generate_arguments(arity, __MODULE__)

    @doc if arities[name] == arity, do: "See `Vllm.AsyncLLM.#{name}/#{arity}`.", else: false
    defdelegate unquote(name)(unquote_splicing(arguments)), to: Vllm.AsyncLLM
  end
end
