defmodule Vllm.Tool do
  @moduledoc """
  A function that a model may call in a chat.

      weather = %Vllm.Tool{
        name: "get_weather",
        description: "The weather in a city",
        parameters: %{
          type: "object",
          properties: %{city: %{type: "string"}},
          required: ["city"],
          additionalProperties: false
        },
        run: fn %{"city" => city} -> MyApp.Weather.in_city(city) end
      }

  ## Fields

    * `name` - how the model calls it: letters, digits, `_` and `-`
    * `description` - what it does, for the model
    * `parameters` - a JSON schema of an object: the arguments by name. The model is held to it,
      unless `strict` is `false`.
    * `strict` - see `parameters`
    * `run` - takes the arguments as a map with string keys. What it returns is given to the model: a
      string as it is, any other value as JSON. `{:error, reason}`, an exception and an exit are given
      to the model as an error. Without it `Vllm.chat/3` returns the calls and runs nothing.
  """

  @enforce_keys [:name]
  defstruct [:name, :description, :parameters, :run, strict: true]

  @type t :: %__MODULE__{
          name: String.t(),
          description: String.t() | nil,
          parameters: map() | nil,
          strict: boolean(),
          run: (map() -> term()) | nil
        }
end
