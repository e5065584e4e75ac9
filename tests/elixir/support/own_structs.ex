defmodule Vllm.OwnStructs do
  @moduledoc """
  Structs of an application's that implement `Vllm.Encoder`.

  Here and not in a test, because protocols are consolidated before the tests are compiled.
  """

  defmodule Chat do
    @moduledoc false
    defstruct [:messages]

    defimpl Vllm.Encoder do
      def encode(chat), do: %{"messages" => chat.messages}
    end
  end

  defmodule Loop do
    @moduledoc false
    defstruct []

    defimpl Vllm.Encoder do
      def encode(loop), do: loop
    end
  end
end
