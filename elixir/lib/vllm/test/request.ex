defmodule Vllm.Test.Request do
  @moduledoc """
  A request that reached a fake engine, as `Vllm.Test.requests/1` returns it.

  ## Fields

    * `:method` - `:generate` or `:encode`
    * `:request_id` - the id that the application gave
    * `:prompt` - the prompt as it was given: text, token ids, or a map
    * `:params` - the parameters as a `Vllm.SamplingParams` or `Vllm.PoolingParams`, even if they were
      given in another form
    * `:options` - the other arguments, with string keys: always `"priority"`, and `"lora_request"`,
      `"trace_headers"`, `"session_id"` and others if they were given
  """

  @enforce_keys [:method, :request_id, :prompt, :params, :options]
  defstruct [:method, :request_id, :prompt, :params, :options]

  @type t :: %__MODULE__{
          method: :generate | :encode,
          request_id: String.t(),
          prompt: String.t() | [non_neg_integer()] | %{optional(String.t()) => term()},
          params: Vllm.SamplingParams.t() | Vllm.PoolingParams.t(),
          options: %{optional(String.t()) => term()}
        }

  @methods %{"generate" => :generate, "encode" => :encode}

  @doc false
  # From the fake engine's record. Calls that make no request are left out.
  @spec from_calls([[term()]]) :: [t()]
  def from_calls(calls) do
    for [name, [prompt, params, request_id], options] <- calls, method = @methods[name] do
      %__MODULE__{
        method: method,
        request_id: request_id,
        prompt: prompt,
        params: params,
        options: options
      }
    end
  end

  @doc false
  # Whether the request has the properties in `wanted`.
  @spec fits?(t(), keyword()) :: boolean()
  def fits?(%__MODULE__{} = request, wanted) do
    Enum.all?(wanted, fn
      {:method, method} -> request.method == method
      {:request_id, id} -> request.request_id == id
      {:prompt, prompt} -> prompt?(request.prompt, prompt)
      {:params, params} -> Enum.all?(params, fn {key, value} -> has?(request, key, value) end)
    end)
  end

  defp has?(request, key, value), do: Map.fetch(request.params, key) == {:ok, value}

  defp prompt?(%{"prompt" => text}, wanted), do: prompt?(text, wanted)
  defp prompt?(%{"prompt_token_ids" => ids}, wanted), do: prompt?(ids, wanted)
  defp prompt?(text, %Regex{} = pattern), do: is_binary(text) and text =~ pattern
  defp prompt?(prompt, wanted), do: prompt == wanted
end
